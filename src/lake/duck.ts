/**
 * Opens DuckDB for trusted work of this process: an in-memory database that spills to a folder, speaks UTC,
 * keeps the order of rows and never fetches an extension.
 */
import { DuckDBInstance } from '@duckdb/node-api'
import type { Duck } from './delta/types.ts'

export interface DuckOptions {
  /** `1GB`, `75%`. DuckDB's own default is 80 % of the machine's memory. */
  readonly memoryLimit?: string
  readonly threads?: number
  /** A folder for what does not fit in memory; made when it is needed. */
  readonly tempDirectory: string
}

export async function openDuck(options: DuckOptions): Promise<Duck> {
  const instance = await DuckDBInstance.create(':memory:', {
    temp_directory: options.tempDirectory,
    autoinstall_known_extensions: 'false',
    autoload_known_extensions: 'false',
    // Row order carries meaning here: "the last of two rows with one key wins", and time-ordered files prune well.
    preserve_insertion_order: 'true',
    ...(options.memoryLimit === undefined ? {} : { memory_limit: options.memoryLimit }),
    ...(options.threads === undefined ? {} : { threads: String(options.threads) }),
  })
  const setup = await instance.connect()
  try {
    // Delta's timestamps are instants; with another zone DuckDB would read and print them shifted.
    await setup.run("set global TimeZone = 'UTC'")
  } finally {
    setup.closeSync()
  }
  const waiting = new Map<(hurry: boolean) => Promise<void>, NodeJS.Timeout>()
  const running = new Set<Promise<void>>()
  const start = (work: (hurry: boolean) => Promise<void>, hurry: boolean): void => {
    clearTimeout(waiting.get(work))
    waiting.delete(work)
    const one: Promise<void> = work(hurry)
      .catch(() => undefined)
      .finally(() => running.delete(one))
    running.add(one)
  }
  const idle = async (): Promise<void> => {
    while (waiting.size + running.size > 0) {
      for (const work of waiting.keys()) start(work, true)
      await Promise.all(running)
    }
  }
  return {
    connect: () => instance.connect(),
    background(work, afterMs) {
      // A process that has nothing else to do closes the engine, which does what waits.
      waiting.set(work, setTimeout(() => start(work, false), afterMs).unref())
    },
    idle,
    async close() {
      await idle()
      instance.closeSync()
    },
  }
}
