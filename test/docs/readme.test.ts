/** Runs the README as a reader would: every command in order, every snippet in its file. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { dirname, join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { tempFolder } from '../helpers/folder.ts'

const ROOT = resolve(import.meta.dirname, '../..')
const english = readFileSync(join(ROOT, 'README.md'), 'utf8')
const portuguese = readFileSync(join(ROOT, 'README.pt-BR.md'), 'utf8')

interface Block {
  readonly language: string
  readonly text: string
  /** The file that the line above names. */
  readonly file: string | undefined
}

function blocksOf(markdown: string): Block[] {
  return [...markdown.matchAll(/(?:^`([^`\n]+)`\n\n)?^```(\w+)\n([\s\S]*?)^```/gm)].map(([, file, language = '', text = '']) => ({ language, text, file }))
}

let folder: string
let port: number
let running: ChildProcess | null = null

beforeAll(async () => {
  folder = tempFolder()
  port = await freePort()
  for (const { language, file, text } of blocksOf(english)) {
    if (language !== 'ts' || file === undefined) continue
    mkdirSync(dirname(join(folder, file)), { recursive: true })
    writeFileSync(join(folder, file), text)
  }
  writeFileSync(join(folder, 'AirQualityUCI.csv'), airQualityFile())
})

afterAll(() => stop())

test('both languages show the same commands and snippets', () => {
  expect(blocksOf(portuguese)).toEqual(blocksOf(english))
})

test('the snippets are free of type errors, and a renamed column is one', async () => {
  mkdirSync(join(folder, 'node_modules'), { recursive: true })
  symlinkSync(ROOT, join(folder, 'node_modules', 'lagoa'))
  symlinkSync(join(ROOT, 'node_modules', '@types'), join(folder, 'node_modules', '@types'))
  writeFileSync(join(folder, 'package.json'), '{"type": "module"}')
  writeFileSync(
    join(folder, 'tsconfig.json'),
    JSON.stringify({ extends: join(ROOT, 'tsconfig.json'), compilerOptions: { noUnusedLocals: false }, include: ['greenhouse'], exclude: [] }),
  )
  const tsc = join(ROOT, 'node_modules', '.bin', 'tsc')
  expect(await run(`${tsc} -p ${folder}`)).toMatchObject({ code: 0, output: '' })

  const stream = join(folder, 'greenhouse/streams/climate.ts')
  const before = readFileSync(stream, 'utf8')
  writeFileSync(stream, before.replace('celsius: t.double', 'fahrenheit: t.double'))
  const renamed = await run(`${tsc} -p ${folder}`)
  writeFileSync(stream, before)
  expect(renamed.code).not.toBe(0)
  expect(renamed.output).toContain('alerts/heat.ts')
})

test('every command works in the order of the page', async () => {
  const commands = blocksOf(english)
    .filter(({ language }) => language === 'sh')
    .flatMap(({ text }) => text.split('\n').filter((line) => line !== ''))
  expect(commands.length).toBeGreaterThan(8)
  for (const command of commands) {
    const here = command
      .replaceAll('8080', String(port))
      .replace('--project greenhouse', `--project ${join(folder, 'greenhouse')}`)
      .replace('AirQualityUCI.csv', join(folder, 'AirQualityUCI.csv'))
    if (command.startsWith('npm start') && !command.includes('--once')) {
      await stop()
      await start(here)
      continue
    }
    // The summary command needs the home to itself.
    if (command.startsWith('npm start')) await stop()
    const { code, output } = await run(here, ROOT)
    expect({ command, code, output: code === 0 ? '' : output }).toEqual({ command, code: 0, output: '' })
    if (command.startsWith('curl')) expect({ command, answer: JSON.parse(output) as object }).not.toHaveProperty('answer.error')
  }
})

function environment(): NodeJS.ProcessEnv {
  return { ...process.env, LAGOA_HOME: join(folder, 'home'), LAGOA_HTTP__PORT: String(port), NODE_OPTIONS: '' }
}

async function start(command: string): Promise<void> {
  // Each project keeps its own state, as it would below its own folder.
  const child = spawn('bash', ['-c', `exec ${command}`], {
    cwd: ROOT,
    env: { ...environment(), LAGOA_HOME: join(folder, command.includes('greenhouse') ? 'home-greenhouse' : 'home') },
    stdio: ['ignore', 'ignore', 'pipe'],
    detached: true,
  })
  running = child
  let errors = ''
  child.stderr?.on('data', (text: Buffer) => (errors += text.toString()))
  for (let waited = 0; waited < 60_000; waited += 100) {
    if (child.exitCode !== null) throw new Error(`${command} ended: ${errors}`)
    const ready = await fetch(`http://127.0.0.1:${port}/health/ready`).catch(() => null)
    if (ready?.status === 200) {
      // The first commits come with the first seconds; the page's reader is not faster.
      await sleep(7000)
      return
    }
    await sleep(100)
  }
  throw new Error(`${command} was not ready: ${errors}`)
}

async function stop(): Promise<void> {
  const child = running
  running = null
  if (!child?.pid || child.exitCode !== null) return
  const ended = once(child, 'exit')
  process.kill(-child.pid, 'SIGTERM')
  await ended
}

async function run(command: string, cwd: string = folder): Promise<{ code: number | null; output: string }> {
  const child = spawn('bash', ['-c', command], { cwd, env: environment(), stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  child.stdout.on('data', (text: Buffer) => (output += text.toString()))
  child.stderr.on('data', (text: Buffer) => (output += command.startsWith('curl') ? '' : text.toString()))
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, output }
}

function freePort(): Promise<number> {
  return new Promise((done) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => done(typeof address === 'object' && address ? address.port : 0))
    })
  })
}

/** A small file in the format of the Air Quality data set. */
function airQualityFile(): string {
  const header = 'Date;Time;CO(GT);PT08.S1(CO);NMHC(GT);C6H6(GT);PT08.S2(NMHC);NOx(GT);PT08.S3(NOx);NO2(GT);PT08.S4(NO2);PT08.S5(O3);T;RH;AH;;'
  const rows = Array.from(
    { length: 48 },
    (_, i) =>
      `${String(10 + Math.floor(i / 24)).padStart(2, '0')}/03/2004;${String(i % 24).padStart(2, '0')}.00.00;${i % 7},5;1360;150;11,9;1046;166;1056;${i * 5};1692;1268;13,6;48,9;0,7578;;`,
  )
  return [header, ...rows, ';;;;;;;;;;;;;;;;', ''].join('\r\n')
}
