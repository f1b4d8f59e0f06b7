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
  const running = new Set<Promise<void>>()
  const idle = async (): Promise<void> => {
    while (running.size > 0) await Promise.all(running)
  }
  return {
    connect: () => instance.connect(),
    background(work) {
      const one: Promise<void> = work()
        .catch(() => undefined)
        .finally(() => running.delete(one))
      running.add(one)
    },
    idle,
    async close() {
      await idle()
      instance.closeSync()
    },
  }
}
