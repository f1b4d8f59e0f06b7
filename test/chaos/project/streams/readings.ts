import { stream, t } from 'lagoa'

/** `n` counts all readings of a partition, in the order in which they were sent. */
export const readings = stream('readings', {
  key: 'sensor',
  eventTime: 'at',
  partitions: 4,
  live: { by: 'sensor' },
  schema: { sensor: t.string(), at: t.timestamp(), n: t.int(), co: t.double() },
})
