import { table } from 'lagoa'
import { sensorRaw } from '../streams/sensor_raw.ts'

export const raw = table('bronze.sensor', { from: sensorRaw, description: 'Every reading as it was received' })
