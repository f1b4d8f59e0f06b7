import { csv, stream, t } from 'lagoa'
import { stations } from './stations.ts'

// Messages of the Air Quality data set carry local date and time at a fixed offset and no sensor.
const published = (m: Readonly<Record<string, unknown>>) => ({
  sensor: m.sensor ?? 'Monza',
  at: `${String(m.date).split('/').reverse().join('-')}T${String(m.time).replaceAll('.', ':')}+01:00`,
  co: m.CO,
  no2: m.NO2,
  temperature: m.Temperature,
  relative_humidity: m.Relative_Humidity,
  absolute_humidity: m.Absolute_Humidity,
})

export const sensorRaw = stream('sensor_raw', {
  description: 'Readings as the stations send them; -200 means that there is none',
  key: 'sensor',
  eventTime: 'at',
  live: { by: 'sensor', ttl: '1h' },
  schema: {
    sensor: t.string(),
    at: t.timestamp(),
    co: t.double().nullable().missing(-200).unit('mg/m³').describe('Carbon monoxide'),
    no2: t.double().nullable().missing(-200).unit('µg/m³').describe('Nitrogen dioxide'),
    temperature: t.double().nullable().missing(-200).unit('°C').describe('Temperature'),
    relative_humidity: t.double().nullable().missing(-200).unit('%').describe('Relative humidity'),
    absolute_humidity: t.double().nullable().missing(-200).unit('g/m³').describe('Absolute humidity'),
  },
  upcast: (message) => ('CO' in message ? published(message) : message),
  source: stations,
  replay: (path) =>
    csv({
      path,
      delimiter: ';',
      decimal: ',',
      columns: {
        date: 'Date',
        time: 'Time',
        CO: { from: ['CO(GT)', 'CO'], type: 'number' },
        NO2: { from: ['NO2(GT)', 'NO2'], type: 'number' },
        Temperature: { from: ['T', 'Temperature'], type: 'number' },
        Relative_Humidity: { from: ['RH', 'Relative_Humidity'], type: 'number' },
        Absolute_Humidity: { from: ['AH', 'Absolute_Humidity'], type: 'number' },
      },
    }),
})
