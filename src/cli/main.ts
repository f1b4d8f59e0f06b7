#!/usr/bin/env node
/** The `lagoa` command. */
import { readFileSync } from 'node:fs'
import { closest, invalid } from '../base/index.ts'
import { FLAGS, readArguments, type Arguments, type FlagName } from './args.ts'
import { print, printError } from './output.ts'

interface Command {
  readonly usage: string
  readonly about: string
  readonly flags: readonly FlagName[]
  readonly run: (args: Arguments) => Promise<number>
}

const WHERE: readonly FlagName[] = ['project', 'config', 'home']
const FEED: readonly FlagName[] = ['data', 'rate', 'stations', 'seed', 'count', 'once', 'json', 'port', 'host']

// Each command loads what it needs when it runs: `lagoa --help` opens no engine.
const COMMANDS: Readonly<Record<string, Command>> = {
  dev: { usage: 'dev [DIR]', about: 'run a project and load it again when a file is saved', flags: [...WHERE, ...FEED], run: async (args) => (await import('./serve.ts')).serve('dev', args) },
  start: { usage: 'start [DIR]', about: 'run a project', flags: [...WHERE, ...FEED], run: async (args) => (await import('./serve.ts')).serve('start', args) },
  tables: { usage: 'tables [NAME]', about: 'list the tables, or show one', flags: [...WHERE, 'json'], run: async (args) => (await import('./read.ts')).tables(args) },
  sql: { usage: "sql 'SELECT ...'", about: 'query the tables', flags: [...WHERE, 'json', 'limit'], run: async (args) => (await import('./read.ts')).runSql(args) },
  doctor: { usage: 'doctor', about: 'check this machine and the project', flags: [...WHERE, 'json'], run: async (args) => (await import('./doctor.ts')).doctor(args) },
}

async function main(argv: readonly string[]): Promise<number> {
  const json = argv.includes('--json')
  try {
    const [name, ...rest] = argv
    if (name === undefined || name === 'help' || name === '--help') {
      print(help())
      return 0
    }
    if (name === '--version') {
      print(version())
      return 0
    }
    const command = COMMANDS[name]
    if (!command) {
      const near = closest(name, Object.keys(COMMANDS))
      throw invalid('cli.unknown_command', `There is no command ${name}`, { hint: near.length > 0 ? `Did you mean lagoa ${near.join(' or lagoa ')}?` : 'See lagoa --help.' })
    }
    const args = readArguments(rest, command.flags)
    if (args.values.help) {
      print(commandHelp(command))
      return 0
    }
    return await command.run(args)
  } catch (error) {
    return printError(error, json)
  }
}

function help(): string {
  const width = Math.max(...Object.values(COMMANDS).map(({ usage }) => usage.length))
  return ['lagoa COMMAND', '', ...Object.values(COMMANDS).map(({ usage, about }) => `  ${usage.padEnd(width)}  ${about}`), '', 'lagoa COMMAND --help shows its flags.'].join('\n')
}

function commandHelp({ usage, about, flags }: Command): string {
  const lines = [...flags, 'verbose' as const].map((name) => {
    const flag: { readonly type: string; readonly value?: string; readonly about: string } = FLAGS[name]
    return [`--${name}${flag.value === undefined ? '' : ` ${flag.value}`}`, flag.about] as const
  })
  const width = Math.max(...lines.map(([left]) => left.length))
  return [`lagoa ${usage}: ${about}`, '', ...lines.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`)].join('\n')
}

function version(): string {
  const manifest: unknown = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
  return typeof manifest === 'object' && manifest !== null && 'version' in manifest ? String(manifest.version) : 'unknown'
}

process.exitCode = await main(process.argv.slice(2))
// Everything was closed in order; what a library may still hold (an idle handle) must not keep the process.
process.exit()
