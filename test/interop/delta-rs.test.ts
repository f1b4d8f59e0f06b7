/** Our Delta tables and delta-rs. */
import { afterAll } from 'vitest'
import { openLake } from '../helpers/delta.ts'
import { tellsTheSameChanges } from './change-feeds.ts'
import { changesOurTables } from './changes-our-tables.ts'
import { startEngine } from './engine.ts'
import { DELTA_RS_FEATURES } from './features.ts'
import { makeOurTables } from './our-tables.ts'
import { keepsRandomHistories } from './random-history.ts'
import { cleansOurTables, readsOurTables } from './reads-our-tables.ts'
import { knowsFeatures, readsTheirTables } from './tables-of-theirs.ts'
import { looksAfterTables } from './upkeep.ts'

const lake = await openLake()
const engine = await startEngine('delta-rs')
afterAll(() => engine.close())
const tables = await makeOurTables(lake)

readsOurTables(lake, engine, tables)
changesOurTables(lake, engine)
tellsTheSameChanges(lake, engine)
readsTheirTables(lake, engine, tables, {
  'partitions of type double': 'delta-rs names the folder of 1e300 by all its digits, which no file system takes',
  'partitions of type decimal(9,2)': 'delta-rs writes the partition value -0.01 as 0.-1 and cannot read it itself',
  'partitions of type decimal(38,10)': 'delta-rs writes the partition value -1.5 as -1.-5000000000 and cannot read it itself',
  'partition column a:b': 'delta-rs logs a path that begins with a:, which is a URI of another scheme',
})
knowsFeatures(lake, engine, DELTA_RS_FEATURES)
keepsRandomHistories(lake, engine, 60)
cleansOurTables(lake, engine, tables, {
  'deletion vectors of every container, growing': 'a full vacuum of delta-rs deletes deletion vectors that are in use',
  'deletion vectors of many partitions, over checkpoints': 'a full vacuum of delta-rs deletes deletion vectors that are in use',
})
looksAfterTables(lake, engine)
