import { alert, cel, queue } from 'lagoa'
import { readings } from '../streams/readings.ts'

const { co, no2 } = readings.c

export const critical = alert('critical', { on: readings, mode: 'each', when: cel`${co} > 10 || ${no2} > 200`, to: [queue('critical')] })
export const episode = alert('episode', { on: readings, when: cel`${co} > 10 || ${no2} > 200`, clear: cel`${co} < 9 && ${no2} < 180`, to: [queue('episodes')] })
