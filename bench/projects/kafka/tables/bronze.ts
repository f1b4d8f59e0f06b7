import { table } from 'lagoa'
import { readings } from '../streams/readings.ts'

export const raw = table('bronze.readings', { from: readings })
