/** Our Delta tables and Spark 4.0 with Delta 4.0. */
import { afterAll } from 'vitest'
import { openLake } from '../helpers/delta.ts'
import { tellsTheSameChanges } from './change-feeds.ts'
import { changesOurTables } from './changes-our-tables.ts'
import { startEngine } from './engine.ts'
import { evaluatesExpressions } from './expressions.ts'
import { SPARK_4_FEATURES, SPARK_FEATURES } from './features.ts'
import { makeOurTables } from './our-tables.ts'
import { keepsRandomHistories } from './random-history.ts'
import { cleansOurTables, readsOurTables } from './reads-our-tables.ts'
import { knowsFeatures, readsTheirTables } from './tables-of-theirs.ts'
import { looksAfterTables, sharesClones } from './upkeep.ts'

const lake = await openLake()
const engine = await startEngine('spark-4.0')
afterAll(() => engine.close())
const tables = await makeOurTables(lake)

readsOurTables(lake, engine, tables)
changesOurTables(lake, engine)
tellsTheSameChanges(lake, engine)
readsTheirTables(lake, engine, tables, {
  'partition column p q': 'Spark writes no table with such a column, it only reads them',
  'partition column a=b': 'Spark writes no table with such a column, it only reads them',
  'columns mapped by name, renamed, dropped and added': 'Spark writes no table with such columns, it only reads them',
  'columns mapped by id, renamed, dropped and added': 'Spark writes no table with such columns, it only reads them',
})
evaluatesExpressions(lake, engine)
knowsFeatures(lake, engine, [...SPARK_FEATURES, ...SPARK_4_FEATURES])
keepsRandomHistories(lake, engine, 6)
cleansOurTables(lake, engine, tables)
looksAfterTables(lake, engine)
sharesClones(lake, engine)
