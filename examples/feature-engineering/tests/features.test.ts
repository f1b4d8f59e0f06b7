import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before, describe, test } from 'node:test'
import { openLab, type Lab } from 'lagoa/testing'
import { companies } from '../generate.ts'

const FLOW = 'feature_engineering'
const STEPS = ['iniciar_processamento_task', 'check_redis', 'processar_e_salvar_features', 'end_task']

/** What the features must be, by another way than the flow's. */
function expected(text: string, cnae: string): { n: number; total: number; most: number } {
  const rows = text
    .trim()
    .split('\n')
    .slice(1)
    .map((line) => line.split(';'))
    .filter((cells) => cells[2] === cnae)
  const capitals = rows.flatMap((cells) => (cells[5] ? [Number(cells[5].replace(',', '.'))] : []))
  return { n: rows.length, total: Math.round(capitals.reduce((a, b) => a + b, 0) * 100) / 100, most: Math.max(...capitals) }
}

describe('feature engineering', () => {
  let lab: Lab
  before(async () => {
    lab = await openLab({ now: '2026-03-01 06:00' })
  })
  after(() => lab.close())

  test('the file is what the generator makes', () => {
    assert.equal(readFileSync('data/novas_empresas.csv', 'utf8'), companies(1000))
  })

  test('saves the features of each activity by default', async () => {
    const run = await lab.run(FLOW)
    assert.equal(run.state, 'succeeded', JSON.stringify(run.tasks))
    assert.deepEqual(Object.keys(run.tasks), STEPS)
    assert.ok(run.log.includes('Iniciando pipeline...'))
    assert.deepEqual(run.tasks.processar_e_salvar_features?.output, { activities: 10, saved: 10 })
    const wanted = expected(companies(1000), '6201-5/01')
    const saved = await lab.key('company_stats:6201-5/01')
    assert.deepEqual({ n: Number(saved?.n), total: Number(saved?.capital_total), most: Number(saved?.capital_maximo) }, wanted)
  })

  test('prints them when they are not to be saved, and saves nothing', async () => {
    await lab.put('landing/outras.csv', companies(200).replaceAll('6201-5/01', '7319-0/02'))
    const run = await lab.run(FLOW, { path: 'objects://landing/outras.csv', save_to_db: false })
    assert.equal(run.state, 'succeeded', JSON.stringify(run.tasks))
    assert.deepEqual(run.tasks.processar_e_salvar_features?.output, { activities: 10, saved: 0 })
    assert.ok(run.log.some((line) => line.startsWith('cnae | n | capital_total')))
    const { n } = expected(companies(200).replaceAll('6201-5/01', '7319-0/02'), '7319-0/02')
    assert.ok(run.log.some((line) => line.startsWith(`7319-0/02 | ${n} | `)))
    assert.equal(await lab.key('company_stats:7319-0/02'), null)
  })

  test('fails where the file is missing, before anything is saved', async () => {
    const run = await lab.run(FLOW, { path: 'data/nenhuma.csv' })
    assert.equal(run.state, 'failed')
    assert.match(run.tasks.processar_e_salvar_features?.error ?? '', /nenhuma\.csv/)
    assert.equal(run.tasks.end_task?.state, 'skipped')
  })
})
