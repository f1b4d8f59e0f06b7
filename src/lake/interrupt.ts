import type { DuckDBConnection } from '@duckdb/node-api'

/**
 * Runs one statement that ends soon after the signal aborts. DuckDB forgets an interrupt that reaches it between two steps, so it is
 * repeated until the statement is over. What cleans up afterwards must not run inside.
 */
export async function interruptible<T>(connection: DuckDBConnection, signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
  signal?.throwIfAborted()
  let repeat: NodeJS.Timeout | undefined
  const interrupt = (): void => {
    connection.interrupt()
    repeat = setInterval(() => connection.interrupt(), 20)
  }
  signal?.addEventListener('abort', interrupt, { once: true })
  try {
    const result = await work()
    signal?.throwIfAborted()
    return result
  } catch (error) {
    signal?.throwIfAborted()
    throw error
  } finally {
    signal?.removeEventListener('abort', interrupt)
    clearInterval(repeat)
  }
}
