/** Work that only one process may do on a home: here, when no server runs on it, else by the server that does. */
import { LagoaError } from '../base/index.ts'
import { claimHome, homeHolder } from '../storage/index.ts'
import type { Engines } from './engines.ts'

export async function aloneOrAsk<T>(
  { records }: Pick<Engines, 'records'>,
  alone: (signal: AbortSignal) => Promise<T>,
  ask: (url: string) => Promise<T>,
): Promise<T> {
  try {
    const claim = await claimHome(records, { pid: process.pid, url: 'the command line' })
    try {
      return await alone(claim.lost)
    } finally {
      await claim.release()
    }
  } catch (error) {
    if (!(error instanceof LagoaError) || error.code !== 'storage.home_taken') throw error
    const holder = await homeHolder(records)
    // Another command holds it for a moment: it has no address.
    if (!holder?.url.startsWith('http')) throw error
    return ask(holder.url)
  }
}
