/** A process that reads a topic from its start and prints how many bytes it found and the most memory it had: `read-from-kafka.ts BROKER TOPIC`. */
import { writeSync } from 'node:fs'
import { silentLog } from '../../src/base/index.ts'
import { openKafkaLog, recordsOf } from '../../src/streams/index.ts'

const [, , broker = '', topic = ''] = process.argv
const log = await openKafkaLog({ brokers: [broker], log: silentLog })
let [next, bytes] = [0, 0]
for (let batches = await log.read(topic, 0, next); batches.length > 0; batches = await log.read(topic, 0, next)) {
  for (const batch of batches) {
    for (const { value } of recordsOf(batch)) bytes += value.length
    next = batch.baseOffset + batch.count
  }
}
writeSync(1, JSON.stringify({ bytes, peakMegabytes: process.resourceUsage().maxRSS / 1024 }))
await log.close()
