import { simulate, type SimulationSettings } from 'lagoa'

const names = [
  'Ibirapuera',
  'Paulista',
  'Marginal Tietê',
  'Congonhas',
  'Pinheiros',
  'Santo Amaro',
  'Mooca',
  'Lapa',
  'Interlagos',
  'Osasco',
  'Cubatão',
  'Guarulhos',
]

/** Twelve stations whose air drifts, with rush hours and now and then an episode above a limit. */
export const stations = ({ stations = names.length, seed, count, start }: SimulationSettings) =>
  simulate({
    devices: Array.from({ length: stations }, (_, i) => names[i] ?? `Station ${i + 1}`),
    seed,
    count,
    start,
    reading({ index, random, drift }) {
      const traffic = 0.55 + 0.45 * drift(1, 240)
      const episode = Math.max(0, drift(2, 90) - 0.72) * 14
      const noise = (salt: number, size: number): number => (random(salt) - 0.5) * size
      const base = 1.2 + ((index * 7) % 12) * 0.38
      const gap = random(9) < 0.002
      const round = (value: number, digits: number): number => Math.round(value * 10 ** digits) / 10 ** digits
      return {
        co: gap ? -200 : round(Math.max(0.1, base * (0.6 + traffic) + episode + noise(3, 0.5)), 2),
        no2: gap ? -200 : round(Math.max(2, base * 26 * (0.5 + traffic) + episode * 22 + noise(4, 8)), 1),
        temperature: round(21 + 6 * drift(5, 900) + noise(6, 0.3), 1),
        relative_humidity: round(62 + 22 * drift(7, 800) + noise(8, 1), 1),
        absolute_humidity: round(1.1 + 0.4 * drift(10, 900), 4),
      }
    },
  })
