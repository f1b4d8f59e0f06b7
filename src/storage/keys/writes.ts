/** What of a call's writes has to reach the engine: the same for every adapter. */
import { invalid } from '../../base/index.ts'
import { keptName } from './names.ts'
import type { KeyWrite } from './port.ts'

/** One write a key, by its kept name: what is left when they are applied one after the other, by the same guard as in the engine. */
export function newestPerKey(writes: readonly KeyWrite[]): KeyWrite[] {
  const newest = new Map<string, KeyWrite>()
  for (const write of writes) {
    if (Object.keys(write.fields).length === 0)
      throw invalid('storage.empty_entry', `The entry ${JSON.stringify(write.key)} has no fields`, { hint: 'Give it at least one, or delete the key.' })
    const key = keptName(write.key)
    const before = newest.get(key)?.order
    const isReplay = before !== undefined && write.order !== undefined && before.source === write.order.source && write.order.offset <= before.offset
    if (!isReplay) newest.set(key, key === write.key ? write : { ...write, key })
  }
  return [...newest.values()]
}
