import { afterAll } from 'vitest'
import { openLake } from '../helpers/delta.ts'
import { startEngine } from './engine.ts'
import { SPARK_FEATURES } from './features.ts'
import { knowsFeatures } from './tables-of-theirs.ts'
import { sharesClones } from './upkeep.ts'
const lake = await openLake()
const engine = await startEngine('spark-3.5')
afterAll(() => engine.close())

if (engine.name !== 'delta-rs') { sharesClones(lake, engine); knowsFeatures(lake, engine, SPARK_FEATURES.filter(({ name }) => /clone/.test(name))) }
