/** Which partition a key belongs to: Apache Kafka's default partitioner (murmur2 of the key's UTF-8 bytes), so that a topic can move there. */

export function partitionOf(key: string | null, partitions: number, turn: number = 0): number {
  if (partitions === 1) return 0
  if (key === null) return turn % partitions
  return (murmur2(Buffer.from(key)) & 0x7fffffff) % partitions
}

/** MurmurHash2, 32 bits, with Kafka's seed (A. Appleby; org.apache.kafka.common.utils.Utils.murmur2). */
export function murmur2(data: Uint8Array): number {
  const m = 0x5bd1e995
  const length = data.length
  let h = (0x9747b28c ^ length) | 0
  const view = new DataView(data.buffer, data.byteOffset, length)
  const words = length >> 2
  for (let i = 0; i < words; i++) {
    let k = Math.imul(view.getInt32(i * 4, true), m)
    k = Math.imul(k ^ (k >>> 24), m)
    h = Math.imul(h, m) ^ k
  }
  const tail = words * 4
  const rest = length & 3
  if (rest === 3) h ^= (data[tail + 2] ?? 0) << 16
  if (rest >= 2) h ^= (data[tail + 1] ?? 0) << 8
  if (rest >= 1) h = Math.imul(h ^ (data[tail] ?? 0), m)
  h = Math.imul(h ^ (h >>> 13), m)
  return h ^ (h >>> 15)
}
