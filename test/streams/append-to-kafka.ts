/** A process of its own that appends to a topic: `append-to-kafka.ts BROKER TOPIC VALUES`, the last as JSON. */
import { silentLog } from '../../src/base/index.ts'
import { encodeJson, openKafkaLog } from '../../src/streams/index.ts'

const [, , broker = '', topic = '', values = ''] = process.argv
const log = await openKafkaLog({ brokers: [broker], log: silentLog })
await log.append(topic, 0, encodeJson(null, (JSON.parse(values) as number[]).map(String)))
await log.close()
