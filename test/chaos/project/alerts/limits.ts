import { alert, cel, queue } from 'lagoa'
import { readings } from '../streams/readings.ts'

const { co } = readings.c

export const critical = alert('critical', { on: readings, mode: 'each', when: cel`${co} > 10`, to: [queue('critical')] })
export const episode = alert('episode', { on: readings, when: cel`${co} > 9.5`, clear: cel`${co} < 2`, to: [queue('episodes')] })
