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
    return ask(await serverOf({ records }, error))
  }
}

/** The address of the server that holds the home; the error, when it is another command that holds it for a moment. */
export async function serverOf({ records }: Pick<Engines, 'records'>, taken: LagoaError): Promise<string> {
  const holder = await homeHolder(records)
  if (!holder?.url.startsWith('http')) throw taken
  return holder.url
}
