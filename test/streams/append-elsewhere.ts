/** A process of its own that appends to a topic: `append-elsewhere.ts CONNECTION TOPIC VALUES`, the first and the last as JSON. */
import { silentLog } from '../../src/base/index.ts'
import { openRecords, type EmbeddedConnection } from '../../src/storage/index.ts'
import { encodeJson, openPostgresLog } from '../../src/streams/index.ts'

const [, , connection = '', topic = '', values = ''] = process.argv
const records = await openRecords({ connection: JSON.parse(connection) as EmbeddedConnection, max: 1, log: silentLog })
const log = await openPostgresLog(records)
await log.append(topic, 0, encodeJson(null, (JSON.parse(values) as number[]).map(String)))
await log.close()
await records.close()
