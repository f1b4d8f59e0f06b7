/**
 * Put if absent, by `If-None-Match: *`, so that it tells the truth although requests are repeated: each call leaves a mark with its
 * object, and where an answer was lost the mark says who won.
 */
import { randomUUID } from 'node:crypto'
import { systemClock, unavailable } from '../../../base/index.ts'
import type { S3 } from './client.ts'
import { faultOf, isContended, isTaken, isUnsure } from './faults.ts'
import type { Location } from './layout.ts'

/** Answers of "another write is under way" before this gives up; they end when the other write does. */
const CONTENTIONS = 30

export async function putIfAbsent(s3: S3, at: Location, bytes: Uint8Array): Promise<boolean> {
  const mark = randomUUID()
  const isOurs = async (): Promise<boolean | null> => {
    const found = await s3.head(at)
    return found && found.mark === mark
  }
  for (let attempt = 0; attempt < CONTENTIONS; attempt++) {
    try {
      await s3.putIfAbsent(at, bytes, mark)
      return true
    } catch (error) {
      const fault = faultOf(error)
      // Refused at the first try is refused; at a later one an earlier try may be what is there.
      if (isTaken(fault)) return fault.attempts > 1 || attempt > 0 ? (await isOurs()) === true : false
      if (isUnsure(fault)) {
        const ours = await isOurs().catch(() => null)
        // When the key is another's, ours can no longer come.
        if (ours !== null) return ours
        throw error
      }
      if (!isContended(fault)) throw error
      await systemClock.sleep(Math.random() * Math.min(20 * 2 ** attempt, 1000))
    }
  }
  throw unavailable('storage.contended', `Other writes of ${at.key} were under way ${CONTENTIONS} times in a row`, { hint: 'Try again in a moment.' })
}
