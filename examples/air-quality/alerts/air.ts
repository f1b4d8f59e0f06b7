import { alert, cel, queue } from 'lagoa'
import { sensorRaw } from '../streams/sensor_raw.ts'

const { co, no2 } = sensorRaw.c

export const critical = alert('air_critical', {
  description: 'Every reading above a limit',
  on: sensorRaw,
  mode: 'each',
  severity: 'critical',
  when: cel`${co} > 10 || ${no2} > 200`,
  message: 'CO {co} mg/m³, NO₂ {no2} µg/m³ at {sensor}',
  to: [queue('sensor_alert', { durable: false })],
})

export const episode = alert('air_episode', {
  description: 'One alert from the first reading above a limit until the air is clear again',
  on: sensorRaw,
  severity: 'critical',
  when: cel`${co} > 10 || ${no2} > 200`,
  clear: cel`${co} < 9 && ${no2} < 180`,
  message: 'CO {co} mg/m³, NO₂ {no2} µg/m³ at {sensor}',
  to: [queue('air_episodes')],
})
