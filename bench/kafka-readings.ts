/** Readings that a benchmark puts into Kafka, some of them beyond the limits. */
import { encodeJson, type EventLog } from '../src/streams/index.ts'

export const TOPIC = 'readings'

export interface BenchReading {
  readonly sensor: string
  readonly at: string
  readonly co: number
  readonly no2: number
  readonly temperature: number
  readonly relative_humidity: number
  readonly absolute_humidity: number
}

export const exceeds = ({ co, no2 }: BenchReading): boolean => co > 10 || no2 > 200

/** Numbers n to n + count. */
export function readingsFrom(n: number, count: number, at: (n: number) => number): BenchReading[] {
  return Array.from({ length: count }, (_, i) => {
    const number = n + i
    const noise = (salt: number): number => ((Math.imul(number + salt, 0x9e3779b1) >>> 8) & 0xffff) / 0xffff
    return {
      sensor: `station-${number % 1000}`,
      at: new Date(at(number)).toISOString(),
      co: Math.round(noise(1) * 1010) / 100,
      no2: Math.round(noise(2) * 2004) / 10,
      temperature: 20 + (number % 100) / 10,
      relative_humidity: 50 + (number % 100) / 4,
      absolute_humidity: 0.75,
    }
  })
}

export async function appendReadings(log: EventLog, readings: readonly BenchReading[]): Promise<void> {
  const batch = encodeJson(
    readings.map(({ sensor }) => sensor),
    readings.map((reading) => JSON.stringify(reading)),
  )
  await log.append(TOPIC, 0, batch)
}
