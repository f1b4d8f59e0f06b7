import { simulate, stream, t, type SimulationSettings } from 'lagoa'

const words =
  'a lagoa guarda água e dados e a cidade mede o ar o vento a chuva e o rio que passa entre ruas casas árvores e gente com pressa porque quem conta palavras conta também histórias sobre o tempo e a memória da água'.split(
    ' ',
  )

/** Texts whose words are as unevenly frequent as in any language: the n-th is about n times rarer than the first. */
const texts = ({ seed, count }: SimulationSettings) =>
  simulate({
    devices: ['jornal', 'revista', 'blog'],
    seed,
    count: count ?? 3000,
    reading({ index, random }) {
      const length = 20 + Math.floor(random(0) * 60)
      const picked = Array.from({ length }, (_, place) => words[Math.floor(words.length ** random(place + 1)) - 1] ?? 'a')
      const [first = '', ...rest] = picked
      return { title: `Texto ${index + 1}`, body: `${first.charAt(0).toUpperCase()}${first.slice(1)} ${rest.join(' ')}.` }
    },
  })

export const articles = stream('articles', {
  description: 'Texts as they are published',
  key: 'sensor',
  eventTime: 'at',
  schema: { sensor: t.string().describe('Where it was published'), at: t.timestamp(), title: t.string(), body: t.string() },
  source: texts,
})
