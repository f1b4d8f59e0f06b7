import { csv, stream, t, type KeptRecord } from 'lagoa'
import { stations } from './stations.ts'

// Messages of the Air Quality data set carry local date and time at a fixed offset and no sensor.
const OFFSET = '+01:00'
const OFFSET_MS = 3_600_000

// Who reads the file without its decimal commas sends "2,6".
const number = (value: unknown) => (typeof value === 'string' ? (value.trim() === '' ? null : Number(value.replace(',', '.'))) : value)

const published = (m: Readonly<Record<string, unknown>>) => ({
  sensor: m.sensor ?? 'Monza',
  at: `${String(m.date).split('/').reverse().join('-')}T${String(m.time).replaceAll('.', ':')}${OFFSET}`,
  co: number(m.CO),
  no2: number(m.NO2),
  temperature: number(m.Temperature),
  relative_humidity: number(m.Relative_Humidity),
  absolute_humidity: number(m.Absolute_Humidity),
})

// The same the other way round, for readers that know those messages: -200 means that there is no reading.
const asPublished = ({ at, co, no2, temperature, relative_humidity, absolute_humidity }: KeptRecord<typeof schema>) => {
  const local = new Date(Date.parse(at ?? '') + OFFSET_MS).toISOString()
  return {
    date: local.slice(0, 10).split('-').reverse().join('/'),
    time: local.slice(11, 19).replaceAll(':', '.'),
    CO: co ?? -200,
    NO2: no2 ?? -200,
    Temperature: temperature ?? -200,
    Relative_Humidity: relative_humidity ?? -200,
    Absolute_Humidity: absolute_humidity ?? -200,
  }
}

const schema = {
  sensor: t.string(),
  at: t.timestamp(),
  co: t.double().nullable().missing(-200).unit('mg/m³').describe('Carbon monoxide'),
  no2: t.double().nullable().missing(-200).unit('µg/m³').describe('Nitrogen dioxide'),
  temperature: t.double().nullable().missing(-200).unit('°C').describe('Temperature'),
  relative_humidity: t.double().nullable().missing(-200).unit('%').describe('Relative humidity'),
  absolute_humidity: t.double().nullable().missing(-200).unit('g/m³').describe('Absolute humidity'),
}

// Names made of date and time alone fit one station: several would replace each other's readings.
const byTime = { only: { sensor: 'Monza' }, as: asPublished }

export const sensorRaw = stream('sensor_raw', {
  description: 'Readings as the stations send them; -200 means that there is none',
  key: 'sensor',
  eventTime: 'at',
  live: [
    { by: 'sensor', ttl: '1h' },
    { by: 'at', key: 'sensor:{date}:{time}', ttl: '1d', ...byTime },
    { by: 'at', key: 'sensor_{date}_{time}', ttl: '1d', ...byTime },
  ],
  objects: { bucket: 'air-quality', key: 'processed/{date}_{time}.json', ...byTime },
  schema,
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
