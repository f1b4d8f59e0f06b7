/** Makes `data/novas_empresas.csv`: companies as a registry publishes them. The same number of rows is the same file: `node generate.ts 1000`. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

/** Activities of the national classification, with how common they are and what such a company begins with. */
const ACTIVITIES = [
  ['4781-4/00', 'Comércio varejista de artigos do vestuário', 14, 15_000],
  ['5611-2/01', 'Restaurantes e similares', 11, 40_000],
  ['9602-5/01', 'Cabeleireiros, manicure e pedicure', 10, 5_000],
  ['4520-0/01', 'Manutenção e reparação mecânica de veículos', 8, 25_000],
  ['6201-5/01', 'Desenvolvimento de programas de computador sob encomenda', 7, 20_000],
  ['4930-2/02', 'Transporte rodoviário de carga', 6, 120_000],
  ['8599-6/99', 'Outras atividades de ensino', 5, 10_000],
  ['4120-4/00', 'Construção de edifícios', 4, 250_000],
  ['8630-5/03', 'Atividade médica ambulatorial', 3, 80_000],
  ['0115-6/00', 'Cultivo de soja', 1, 900_000],
] as const
const STATES = ['SP', 'MG', 'RJ', 'PR', 'RS', 'BA', 'SC', 'GO', 'PE', 'CE'] as const
const NAMES = ['Aurora', 'Horizonte', 'Ipê', 'Jatobá', 'Litoral', 'Mirante', 'Nascente', 'Pioneira', 'Serra', 'Vitória'] as const

export function companies(count: number): string {
  let state = 20_260_301
  // Mulberry32: the same numbers on every machine.
  const random = (): number => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  const weights = ACTIVITIES.reduce((sum, [, , weight]) => sum + weight, 0)
  const lines = ['cnpj;razao_social;cnae;descricao;uf;capital_social;abertura']
  for (let i = 0; i < count; i++) {
    let left = random() * weights
    const [cnae, about, , usual] = ACTIVITIES.find(([, , weight]) => (left -= weight) < 0) ?? ACTIVITIES[0]
    // Some say nothing of their capital.
    const capital = random() < 0.02 ? '' : (usual * (0.2 + 2 * random() ** 3)).toFixed(2).replace('.', ',')
    const day = new Date(Date.UTC(2026, 0, 1 + Math.floor(random() * 59))).toISOString().slice(0, 10)
    const name = `${NAMES[Math.floor(random() * NAMES.length)] ?? ''} ${i + 1} Ltda`
    lines.push([String(10_000_000_000_100 + i * 997), name, cnae, about, STATES[Math.floor(random() ** 2 * STATES.length)] ?? '', capital, day].join(';'))
  }
  return `${lines.join('\n')}\n`
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const count = Number(process.argv[2] ?? 1000)
  const file = join(import.meta.dirname, 'data/novas_empresas.csv')
  writeFileSync(file, companies(count))
  process.stdout.write(`${count} companies in ${file}\n`)
}
