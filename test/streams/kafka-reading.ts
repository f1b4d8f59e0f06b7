/** What tests of the event log on Kafka share. */
import type { Server } from 'node:net'
import { recordsOf, type EventLog, type RecordView } from '../../src/streams/index.ts'

export const KEEP = { partitions: 1, retainMs: 86_400_000, retainBytes: 1e9 }

/** How many kills a test with kills makes; `LAGOA_TEST_ROUNDS` asks for a longer run. */
export function rounds(usual: number): number {
  return Number(process.env.LAGOA_TEST_ROUNDS ?? usual)
}

/** Every record of a partition from an offset on, each looked at no earlier than its place. */
export async function readAll(log: EventLog, topic: string, partition: number = 0, from: number = 0): Promise<RecordView[]> {
  const found: RecordView[] = []
  for (let next = from; ;) {
    const batches = await log.read(topic, partition, next)
    if (batches.length === 0) return found
    for (const batch of batches) {
      for (const record of recordsOf(batch)) if (record.offset >= next) found.push(record)
      next = batch.baseOffset + batch.count
    }
  }
}

export async function readValues(log: EventLog, topic: string, partition: number = 0): Promise<string[]> {
  return (await readAll(log, topic, partition)).map(({ value }) => value.toString())
}

/** Lets a server that is no Kafka listen on a free port. */
export async function listen(server: Server): Promise<number> {
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready))
  const address = server.address()
  if (typeof address !== 'object' || address === null) throw new Error('The server has no port')
  return address.port
}
