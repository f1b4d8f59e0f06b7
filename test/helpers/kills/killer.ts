/**
 * Commands that are killed (kill -9) right before and right after each of their write steps. A real process runs the command on a real
 * folder; then another one looks: each table is at a version that a run without harm passes through, with just its rows and its shape,
 * nothing acknowledged is lost, the command can be repeated, and what was left lying about goes with a vacuum.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { linkSync, mkdirSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, expect } from 'vitest'
import { LagoaError } from '../../../src/base/index.ts'
import { openTable } from '../../../src/lake/delta/index.ts'
import { openDuck } from '../../../src/lake/duck.ts'
import { openFolderObjects } from '../../../src/storage/index.ts'
import { tempFolder } from '../folder.ts'
import { UUID, type Command, type Death, type Order, type Site } from './command.ts'

interface Ended {
  readonly acknowledged: boolean
  readonly killed: boolean
  /** In order; of a run without harm. */
  readonly steps: readonly string[]
}

const CHILD = fileURLToPath(new URL('./child.ts', import.meta.url))

/** A process that has loaded everything and waits to be told what to do. */
class Child {
  readonly #process: ChildProcess
  readonly #ended: Promise<Ended>

  constructor(module: string, cache: string) {
    const child = spawn(process.execPath, [CHILD, module], { stdio: ['pipe', 'pipe', 'pipe'], env: { ...process.env, NODE_COMPILE_CACHE: cache } })
    let [out, fault] = ['', '']
    child.stdout?.on('data', (data: Buffer) => (out += data.toString()))
    child.stderr?.on('data', (data: Buffer) => (fault += data.toString()))
    this.#process = child
    this.#ended = new Promise((resolve, reject) => {
      child.once('close', (code, signal) => {
        const lines = out.split('\n')
        if (signal === null && code !== 0) reject(new Error(`the child failed: ${fault}`))
        else resolve({ acknowledged: lines.includes('acknowledged'), killed: signal === 'SIGKILL', steps: lines.filter((line) => line.includes(' ')) })
      })
    })
    this.#ended.catch(() => undefined)
  }

  run(order: Order): Promise<Ended> {
    this.#process.stdin?.end(JSON.stringify(order))
    return this.#ended
  }

  async stop(): Promise<void> {
    this.#process.kill('SIGKILL')
    await this.#ended.catch(() => undefined)
  }
}

export interface Killer {
  /** Answers how many kills there were. */
  killAtEachStep(command: Command): Promise<number>
}

/** `module` exports the commands as `COMMANDS`. */
export async function openKiller(module: string): Promise<Killer> {
  const folder = tempFolder()
  const live = join(folder, 'objects')
  const before = join(folder, 'before')
  const work = join(folder, 'work')
  mkdirSync(work)
  const duck = await openDuck({ tempDirectory: join(folder, 'spill'), threads: 2 })
  const start = (): Child => new Child(module, join(folder, 'cache'))
  // The next one starts while this one is looked at.
  let spare = start()
  afterAll(async () => {
    await spare.stop()
    await duck.close()
  })
  const runChild = (command: Command, death: Death | null): Promise<Ended> => {
    const child = spare
    spare = start()
    return child.run({ command: command.name, folder: live, work, spill: join(folder, 'child-spill'), death })
  }
  const at = async <T>(task: (site: Site) => Promise<T>): Promise<T> => {
    const objects = await openFolderObjects(live)
    try {
      return await task({ objects, duck, work })
    } finally {
      await duck.idle()
      await objects.close()
    }
  }
  const reset = (): void => {
    rmSync(live, { recursive: true, force: true })
    linkTree(before, live)
  }

  return {
    async killAtEachStep(command) {
      for (const one of [live, before]) rmSync(one, { recursive: true, force: true })
      await at((site) => command.prepare(site))
      linkTree(live, before)
      const first = await at((site) => versionsOf(site, command))
      const whole = await runChild(command, null)
      const told = command.name
      expect(whole, told).toMatchObject({ acknowledged: true, killed: false })
      expect(whole.steps.length, told).toBeGreaterThan(0)
      const story = await at((site) => storyOf(site, command, first))
      const end = await at((site) => settle(site, command))
      let kills = 0
      for (const death of deathsOf(whole.steps)) {
        reset()
        const { acknowledged, killed } = await runChild(command, death)
        const context = `${command.name}, killed ${death.moment} ${death.step}`
        // What runs in the background may not come to a step this time; what it leaves is looked at all the same.
        if (killed) kills++
        await at((site) => look(site, command, story, acknowledged, context))
        await at((site) => goOn(site, command, story, end, context))
        expect(temporaryFiles(live), context).toEqual([])
      }
      return kills
    },
  }
}

/** Before each step, and after each that leaves something behind: after any other it is as before the next. */
function deathsOf(steps: readonly string[]): Death[] {
  return steps.flatMap((step, i): Death[] => {
    const leaves = /^(?:put|putIfAbsent|publish|copy) /.test(step) || i === steps.length - 1
    return [{ step, moment: 'before' }, ...(leaves ? [{ step, moment: 'after' as const }] : [])]
  })
}

/** The same files under other names: objects are replaced and never changed in place. */
function linkTree(from: string, to: string): void {
  mkdirSync(to, { recursive: true })
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    const [source, target] = [join(from, entry.name), join(to, entry.name)]
    if (entry.isDirectory()) linkTree(source, target)
    else linkSync(source, target)
  }
}

/** A version of a table as anybody sees it. */
interface Seen {
  readonly shape: string
  readonly rows: unknown
}

/** Of each table, what its versions hold from the one that the command finds to the one that it leaves; -1 is no table. */
type Story = ReadonlyMap<string, ReadonlyMap<number, Seen>>

async function newestOf(site: Site, root: string): Promise<number> {
  return (await openTable(site, root).snapshot())?.version ?? -1
}

async function versionsOf(site: Site, command: Command): Promise<Map<string, number>> {
  const found = new Map<string, number>()
  for (const root of command.tables) found.set(root, await newestOf(site, root))
  return found
}

async function seen(site: Site, command: Command, root: string, version?: number): Promise<Seen> {
  const table = openTable(site, root)
  const snapshot = version === undefined ? await table.snapshot() : await table.snapshot({ version })
  if (snapshot === null) return { shape: 'none', rows: [] }
  const { fields, partitionColumns, configuration, description } = snapshot.metadata
  const shape = JSON.stringify({ fields, partitionColumns, configuration, description, protocol: snapshot.protocol })
  const connection = await site.duck.connect()
  try {
    const has = new Set(fields.map(({ name }) => name))
    const columns = (command.columns ?? ['*']).filter((name) => name === '*' || has.has(name))
    const reader = await connection.runAndReadAll(`select ${columns.join(', ')} from (${await table.scan(snapshot)}) order by all`)
    return { shape: shape.replaceAll(UUID, '*').replaceAll(/\b1\d{12}\b/g, '#'), rows: reader.getRowsJson() }
  } finally {
    connection.closeSync()
  }
}

async function storyOf(site: Site, command: Command, first: ReadonlyMap<string, number>): Promise<Story> {
  const story = new Map<string, Map<number, Seen>>()
  for (const [root, from] of first) {
    const to = await newestOf(site, root)
    const versions = new Map<number, Seen>()
    if (from < 0) versions.set(-1, { shape: 'none', rows: [] })
    for (let version = Math.max(0, from); version <= to; version++) versions.set(version, await seen(site, command, root, version))
    story.set(root, versions)
  }
  return story
}

/** What was killed, as a process that comes later finds it. */
async function look(site: Site, command: Command, story: Story, acknowledged: boolean, context: string): Promise<void> {
  for (const [root, versions] of story) {
    const newest = await newestOf(site, root)
    const last = Math.max(...versions.keys())
    expect([...versions.keys()], `${context}: the newest version of ${root}`).toContain(newest)
    if (acknowledged) expect(newest, `${context}: acknowledged`).toBe(last)
    expect(await seen(site, command, root), `${context}: version ${newest} of ${root}`).toEqual(versions.get(newest))
    if (newest < 0) continue
    const commits = await commitsOf(site, root)
    expect(commits, `${context}: the log of ${root}`).toEqual(commits.map((_, i) => newest - commits.length + 1 + i))
    const history = await openTable(site, root).history(1000)
    expect(history.map(({ version }) => version).reverse(), `${context}: the history of ${root}`).toEqual(commits)
  }
}

async function commitsOf({ objects }: Site, root: string): Promise<number[]> {
  const found: number[] = []
  for await (const { path } of objects.list(`${root}/_delta_log/`)) {
    const name = path.slice(`${root}/_delta_log/`.length)
    if (/^\d{20}\.json$/.test(name)) found.push(Number(name.slice(0, 20)))
  }
  return found
}

/** The rows and shapes at the end, and how many data files lie there that the newest version does not have. */
interface End {
  readonly tables: ReadonlyMap<string, Seen>
  readonly beside: ReadonlyMap<string, number>
  readonly also: unknown
}

async function goOn(site: Site, command: Command, story: Story, end: End, context: string): Promise<void> {
  const versions = await versionsOf(site, command)
  const isDone = [...story].every(([root, known]) => versions.get(root) === Math.max(...known.keys()))
  if (!isDone || command.once !== true) {
    try {
      await (command.again ?? command.run)(site)
    } catch (error) {
      if (!isDone || !(error instanceof LagoaError) || error.code !== command.refuses) throw new Error(`${context}: it cannot be repeated`, { cause: error })
    }
  }
  const found = await settle(site, command)
  expect(found, `${context}: repeated and vacuumed`).toEqual(end)
}

/** Vacuums each table, and tells what is there then. Pins that a killed command left are over later than a test may last. */
async function settle(site: Site, command: Command): Promise<End> {
  await new Promise((resolve) => setTimeout(resolve, 5))
  const tables = new Map<string, Seen>()
  const beside = new Map<string, number>()
  for (const root of command.tables) {
    const table = openTable(site, root)
    const snapshot = await table.snapshot()
    if (snapshot !== null) {
      for (const pin of await table.pins()) if (pin.until !== undefined) await table.unpin(pin.id)
      await table.vacuum({ retainMs: 0, force: true })
      beside.set(root, (await dataFiles(site, root)) - snapshot.fileCount)
    }
    tables.set(root, await seen(site, command, root))
  }
  return { tables, beside, also: await command.also?.(site) }
}

async function dataFiles({ objects }: Site, root: string): Promise<number> {
  let count = 0
  for await (const { path } of objects.list(`${root}/`)) if (path.endsWith('.parquet') && !path.slice(root.length).includes('/_')) count++
  return count
}

/** Of processes that are no more: a store removes them when it passes by. */
function temporaryFiles(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((path) => path.includes('.lagoa-'))
}
