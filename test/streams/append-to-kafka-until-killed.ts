/**
 * A source in a process of its own: `append-to-kafka-until-killed.ts BROKER TOPIC PRODUCER`. It goes on where the producer stopped, with
 * one append of some numbers for each sequence, and prints each sequence once it is acknowledged.
 */
import { writeSync } from 'node:fs'
import { silentLog } from '../../src/base/index.ts'
import { encodeJson, openKafkaLog } from '../../src/streams/index.ts'

const [, , broker = '', topic = '', id = ''] = process.argv
const log = await openKafkaLog({ brokers: [broker], log: silentLog })
const state = await log.producerState(topic, id)
let next = typeof state?.note?.next === 'number' ? state.note.next : 0
for (let sequence = (state?.sequence ?? 0) + 1; ; sequence++) {
  const values = Array.from({ length: 1 + (sequence % 5) }, (_, i) => String(next + i))
  next += values.length
  const { duplicate } = await log.append(topic, 0, encodeJson(null, values), { producer: { id, sequence, note: { next } } })
  writeSync(1, duplicate ? `repeated ${sequence}\n` : `${sequence} ${next}\n`)
}
