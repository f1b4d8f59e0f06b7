/** What a topic may be called and how it may be kept: Apache Kafka's rules, on every engine, so that a topic can move there unchanged. */
import { conflict, invalid, type LagoaError } from '../../base/index.ts'
import type { TopicOptions } from './port.ts'

export function checkTopic(topic: string, { partitions, retainMs, retainBytes }: TopicOptions): void {
  if (!/^[A-Za-z0-9._-]{1,249}$/.test(topic) || topic === '.' || topic === '..') {
    throw invalid('streams.topic_name', `"${topic}" cannot be a topic name`, { hint: 'Use letters, digits, dot, underscore and hyphen, at most 249.' })
  }
  if (!Number.isInteger(partitions) || partitions < 1 || partitions > 1024) {
    throw invalid('streams.partitions', `Topic ${topic} cannot have ${partitions} partitions`, { hint: 'Choose a whole number from 1 to 1024.' })
  }
  if (!(retainMs >= 0 && retainBytes >= 0)) {
    throw invalid('streams.retention', `Topic ${topic} cannot keep ${retainBytes} bytes for ${retainMs} ms`, {
      hint: "Write retention: { time: '7d', bytes: 1e9 }, for example.",
    })
  }
}

export function fewerPartitions(topic: string, known: number, wanted: number): LagoaError {
  return conflict('streams.fewer_partitions', `Topic ${topic} has ${known} partitions; ${wanted} would lose the order of its keys`, {
    hint: `Set partitions: ${known} or more on stream('${topic}').`,
  })
}
