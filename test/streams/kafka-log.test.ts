import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe } from 'vitest'
import { silentLog } from '../../src/base/index.ts'
import { openKafkaLog } from '../../src/streams/index.ts'
import { eventLogContract } from '../contracts/event-log.contract.ts'
import { noKafka, startKafka } from '../helpers/kafka.ts'

const SCRIPT = fileURLToPath(new URL('append-to-kafka.ts', import.meta.url))

const server = noKafka === null ? await startKafka() : null
const open = () => openKafkaLog({ brokers: [server?.broker ?? ''], log: silentLog })

describe.skipIf(!server)(`the event log on kafka${noKafka === null ? '' : ` (skipped: ${noKafka})`}`, () => {
  eventLogContract('kafka', {
    open,
    async appendElsewhere(topic, values) {
      await promisify(execFile)(process.execPath, [SCRIPT, server?.broker ?? '', topic, JSON.stringify(values)])
    },
  })
})
