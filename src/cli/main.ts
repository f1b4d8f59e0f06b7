#!/usr/bin/env node
/** The `lagoa` command. */
import { readFileSync } from 'node:fs'
import { closest, errno, invalid } from '../base/index.ts'
import { FLAGS, readArguments, type Arguments, type Flag, type FlagName } from './args.ts'
import { print, printError } from './output.ts'

interface Command {
  readonly usage: string
  readonly about: string
  readonly flags: readonly FlagName[]
  /** How many words it takes beside its flags; any number when absent. */
  readonly words?: number
  readonly examples: readonly string[]
  readonly run: (args: Arguments) => Promise<number>
}

const WHERE: readonly FlagName[] = ['project', 'config', 'home']
const FEED: readonly FlagName[] = ['data', 'rate', 'stations', 'seed', 'count', 'once', 'json', 'port', 'host']

// Each command loads what it needs when it runs: `lagoa --help` opens no engine.
const COMMANDS: Readonly<Record<string, Command>> = {
  dev: {
    usage: 'dev [DIR]',
    about: 'run a project and load it again when a file is saved',
    flags: [...WHERE, ...FEED],
    words: 1,
    examples: ['lagoa dev', 'lagoa dev examples/air-quality --port 0'],
    run: async (args) => (await import('./serve.ts')).serve('dev', args),
  },
  start: {
    usage: 'start [DIR]',
    about: 'run a project',
    flags: [...WHERE, ...FEED],
    words: 1,
    examples: ['lagoa start', 'lagoa start --data readings.csv --rate 100', 'lagoa start --data readings.csv --once --json'],
    run: async (args) => (await import('./serve.ts')).serve('start', args),
  },
  tables: {
    usage: 'tables [NAME]',
    about: 'list the tables, or show one',
    flags: [...WHERE, 'json'],
    words: 1,
    examples: ['lagoa tables', 'lagoa tables silver.readings --json'],
    run: async (args) => (await import('./read.ts')).tables(args),
  },
  table: {
    usage: 'table COMMAND TABLE',
    about: 'describe, history, optimize, vacuum, restore, convert or clone a table',
    flags: [...WHERE, 'json', 'limit', 'zorder', 'where', 'dry-run', 'retain', 'force', 'version', 'at', 'partition-by'],
    words: 3,
    examples: [
      'lagoa table describe silver.readings',
      'lagoa table history /data/some-table --json',
      'lagoa table optimize silver.readings --zorder sensor,at',
      'lagoa table vacuum silver.readings --dry-run',
      'lagoa table restore silver.readings --version 3',
      'lagoa table convert bronze/old-exports --partition-by "day date"',
      'lagoa table clone silver.readings silver/readings-test',
    ],
    run: async (args) => (await import('./table.ts')).table(args),
  },
  replay: {
    usage: 'replay TABLE',
    about: 'put back the held rows of a table that pass now',
    flags: [...WHERE, 'dry-run', 'json'],
    words: 1,
    examples: ['lagoa replay silver.readings --dry-run', 'lagoa replay silver.readings --json'],
    run: async (args) => (await import('./replay.ts')).replay(args),
  },
  sql: {
    usage: "sql 'SELECT ...'",
    about: 'query the tables',
    flags: [...WHERE, 'branch', 'json', 'limit'],
    examples: [
      "lagoa sql 'select count(*) from silver.readings'",
      "lagoa sql 'select * from silver.readings at (version => 3)'",
      'lagoa sql "select * from delta(\'/data/some-table\', version => 3)"',
    ],
    run: async (args) => (await import('./read.ts')).runSql(args),
  },
  assets: {
    usage: 'assets [SEARCH]',
    about: 'list or search what the project declares',
    flags: [...WHERE, 'kind', 'tag', 'owner', 'limit', 'json'],
    examples: ['lagoa assets', 'lagoa assets carbon --kind table'],
    run: async (args) => (await import('./catalog.ts')).assets(args),
  },
  lineage: {
    usage: 'lineage NAME[.COLUMN]',
    about: 'show what an asset or a column is made of and what it makes',
    flags: [...WHERE, 'direction', 'depth', 'json'],
    words: 1,
    examples: ['lagoa lineage silver.readings', 'lagoa lineage silver.readings.co --direction down'],
    run: async (args) => (await import('./catalog.ts')).showLineage(args),
  },
  impact: {
    usage: 'impact NAME[.COLUMN]',
    about: 'show what breaks when a column or an asset goes away',
    flags: [...WHERE, 'json'],
    words: 1,
    examples: ['lagoa impact sensor_raw.co', 'lagoa impact silver.readings --json'],
    run: async (args) => (await import('./catalog.ts')).showImpact(args),
  },
  ingest: {
    usage: 'ingest PATH... --into TABLE',
    about: 'put files into a table, each once',
    flags: [
      'into',
      'format',
      'delimiter',
      'quote',
      'header',
      'skip',
      'decimal',
      'null',
      'date-format',
      'timestamp-format',
      'encoding',
      'columns',
      'schema',
      'changed',
      'dry-run',
      ...WHERE,
      'json',
    ],
    examples: [
      'lagoa ingest companies.csv --into bronze.companies',
      "lagoa ingest 'exports/2026-*.csv.gz' --into bronze.sales --delimiter ';' --decimal ,",
      'lagoa ingest objects://landing/events --into bronze.events --dry-run',
    ],
    run: async (args) => (await import('./ingest.ts')).ingest(args),
  },
  python: {
    usage: 'python install|status',
    about: "make, or show, the Python that users' code runs on",
    flags: ['force', 'json'],
    words: 1,
    examples: ['lagoa python install', 'lagoa python status --json'],
    run: async (args) => (await import('./python.ts')).python(args),
  },
  branch: {
    usage: 'branch create|list|diff|merge|drop [NAME] [TABLE...]',
    about: 'fork tables without copying, see what changed, merge it',
    flags: [...WHERE, 'keys', 'limit', 'dry-run', 'json'],
    examples: [
      'lagoa branch create dev silver.readings gold.air_hourly',
      'lagoa refresh --branch dev',
      'lagoa branch diff dev silver.readings --keys sensor,at',
      'lagoa branch merge dev --dry-run',
      'lagoa branch drop dev',
    ],
    run: async (args) => (await import('./branch.ts')).branch(args),
  },
  refresh: {
    usage: 'refresh [TABLE]',
    about: 'make a table anew from its inputs, or every one, also in a branch',
    flags: [...WHERE, 'branch', 'json'],
    words: 1,
    examples: ['lagoa refresh gold.air_hourly', 'lagoa refresh --branch dev'],
    run: async (args) => (await import('./branch.ts')).refresh(args),
  },
  streams: {
    usage: 'streams [list|tail|dead-letters|resend] [STREAM] [OFFSET...]',
    about: 'list streams, read their records and dead letters, send dead letters again',
    flags: [...WHERE, 'filter', 'from', 'follow', 'partition', 'limit', 'all', 'json'],
    examples: [
      'lagoa streams',
      "lagoa streams tail sensor_raw --filter 'co > 10' --follow",
      'lagoa streams tail sensor_raw --filter sensor=Lapa --from 10m --json',
      'lagoa streams dead-letters sensor_raw',
      'lagoa streams resend sensor_raw 0 3',
      'lagoa streams resend sensor_raw --all',
    ],
    run: async (args) => (await import('./streams.ts')).streams(args),
  },
  keys: {
    usage: 'keys [list|get|delete] [PREFIX|KEY...]',
    about: 'browse the live cache, read and delete keys',
    flags: [...WHERE, 'limit', 'json'],
    examples: ['lagoa keys list sensor_raw:', 'lagoa keys get sensor_raw:Lapa --json', 'lagoa keys delete sensor_raw:Lapa'],
    run: async (args) => (await import('./keys.ts')).keys(args),
  },
  alerts: {
    usage: 'alerts [list|rules|silences|silence|unsilence] [RULE]',
    about: 'list alerts and rules, silence a rule for a while',
    flags: [...WHERE, 'state', 'rule', 'limit', 'for', 'reason', 'json'],
    words: 2,
    examples: [
      'lagoa alerts --state firing',
      'lagoa alerts rules',
      "lagoa alerts silence air_episode --for 2h --reason 'sensor 4 is being replaced'",
      'lagoa alerts unsilence air_episode',
    ],
    run: async (args) => (await import('./alerts.ts')).alerts(args),
  },
  run: {
    usage: 'run FLOW [-p KEY=VALUE]...',
    about: 'run a flow, and follow it to its end',
    flags: [...WHERE, 'param', 'detach', 'json'],
    words: 1,
    examples: ['lagoa run feature_engineering -p path=companies.csv -p save_to_db=false', 'lagoa run feature_engineering --detach --json'],
    run: async (args) => (await import('./runs.ts')).run(args),
  },
  flows: {
    usage: 'flows [list|show|pause|resume] [FLOW]',
    about: 'list flows, show one, pause its schedule',
    flags: [...WHERE, 'json'],
    words: 2,
    examples: ['lagoa flows', 'lagoa flows show feature_engineering', 'lagoa flows pause feature_engineering'],
    run: async (args) => (await import('./runs.ts')).flows(args),
  },
  backfill: {
    usage: 'backfill FLOW --from PARTITION [--to PARTITION]',
    about: 'run a flow for many partitions',
    flags: [...WHERE, 'from', 'to', 'partitions', 'param', 'again', 'newest', 'concurrency', 'dry-run', 'detach', 'json'],
    words: 1,
    examples: [
      'lagoa backfill daily_sales --from 2026-01-01 --dry-run',
      'lagoa backfill daily_sales --from 2026-01-01 --to 2026-01-31 --concurrency 4',
      'lagoa backfill daily_sales --partitions 2026-01-03,2026-01-09 --again',
    ],
    run: async (args) => (await import('./backfills.ts')).backfill(args),
  },
  backfills: {
    usage: 'backfills [list|show|pause|resume|cancel] [BACKFILL]',
    about: 'list backfills, show one, pause or cancel it',
    flags: [...WHERE, 'flow', 'limit', 'json'],
    words: 2,
    examples: ['lagoa backfills --flow daily_sales', 'lagoa backfills pause BACKFILL'],
    run: async (args) => (await import('./backfills.ts')).backfills(args),
  },
  runs: {
    usage: 'runs [list|show|logs|cancel|pause|resume|retry] [RUN]',
    about: 'list runs, show one, read its log, cancel or retry it',
    flags: [...WHERE, 'flow', 'state', 'task', 'limit', 'json'],
    words: 2,
    examples: [
      'lagoa runs --flow feature_engineering',
      'lagoa runs show RUN',
      'lagoa runs logs RUN',
      'lagoa runs cancel RUN',
      'lagoa runs retry RUN --task check_redis',
    ],
    run: async (args) => (await import('./runs.ts')).runs(args),
  },
  test: {
    usage: 'test [FILE]...',
    about: "run a project's tests, on a clock of their own",
    flags: ['project', 'filter'],
    examples: ['lagoa test', 'lagoa test tests/sales.test.ts', "lagoa test --filter 'a late file'"],
    run: async (args) => (await import('./test.ts')).test(args),
  },
  services: {
    usage: 'services [up|down|status] [NAME|GROUP...]',
    about: 'start real engines on this machine in the background, stop them, list them',
    flags: ['project', 'home', 'programs', 'export', 'json'],
    examples: [
      'lagoa services up',
      'lagoa services up core kafka',
      'eval "$(lagoa services up --export)"',
      'lagoa services status --json',
      'lagoa services down',
    ],
    run: async (args) => (await import('./services.ts')).services(args),
  },
  doctor: {
    usage: 'doctor [DIR]',
    about: 'check this machine and the project',
    flags: [...WHERE, 'host', 'port', 'json'],
    words: 1,
    examples: ['lagoa doctor', 'lagoa doctor --json'],
    run: async (args) => (await import('./doctor.ts')).doctor(args),
  },
}

async function main(argv: readonly string[]): Promise<number> {
  const json = argv.includes('--json')
  try {
    const [name, ...rest] = argv
    if (name === undefined || name === 'help' || name === '--help' || name === '-h') {
      print(rest[0] === undefined ? help() : commandHelp(commandCalled(rest[0])))
      return 0
    }
    if (name === '--version' || name === '-v') {
      print(version())
      return 0
    }
    if (name.startsWith('-')) throw invalid('cli.no_command', `${name} stands before the command`, { hint: `Put the command first: lagoa start ${name}` })
    const command = commandCalled(name)
    if (rest.includes('--help') || rest.includes('-h')) {
      print(commandHelp(command))
      return 0
    }
    return await command.run(readArguments(rest, command.flags, command.words))
  } catch (error) {
    return await printError(error, json)
  }
}

function commandCalled(name: string): Command {
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined
  if (command) return command
  const near = closest(name, Object.keys(COMMANDS))
  throw invalid('cli.unknown_command', `There is no command ${name}`, {
    hint: near.length > 0 ? `Did you mean lagoa ${near.join(' or lagoa ')}?` : `The commands are: ${Object.keys(COMMANDS).join(', ')}.`,
  })
}

function help(): string {
  const commands = Object.values(COMMANDS)
  const width = Math.max(...commands.map(({ usage }) => usage.length))
  return [
    'Lagoa: streams, alerts and a lakehouse, declared in one folder and run by one command.',
    '',
    'lagoa COMMAND',
    '',
    ...commands.map(({ usage, about }) => `  ${usage.padEnd(width)}  ${about}`),
    '',
    'lagoa COMMAND --help shows its flags. Settings also come from lagoa.config.ts and from variables such as LAGOA_HTTP__PORT.',
  ].join('\n')
}

function commandHelp({ usage, about, flags, examples }: Command): string {
  const lines = [...flags, 'verbose' as const, 'help' as const].map((name) => {
    const flag: Flag = FLAGS[name]
    return [`${flag.short === undefined ? '' : `-${flag.short}, `}--${name}${flag.value === undefined ? '' : ` ${flag.value}`}`, flag.about] as const
  })
  const width = Math.max(...lines.map(([left]) => left.length))
  return [
    `lagoa ${usage}: ${about}`,
    '',
    ...lines.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`),
    '',
    ...examples.map((example) => `  ${example}`),
  ].join('\n')
}

function version(): string {
  const manifest: unknown = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
  return typeof manifest === 'object' && manifest !== null && 'version' in manifest ? String(manifest.version) : 'unknown'
}

// A reader that has enough (`lagoa sql ... | head -1`) closes the pipe; that is no failure of ours.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error) => {
    if (errno(error) === 'EPIPE') process.exit(0)
    throw error
  })
}

process.exitCode = await main(process.argv.slice(2))
// What was written may still wait for a slow reader: it goes out first.
for (const stream of [process.stdout, process.stderr]) await new Promise<void>((done) => stream.write('', () => done()))
// Everything was closed in order; what a library may still hold (an idle handle) must not keep the process.
process.exit()
