/** The catalogue of a project: what each room tells of its assets, as one graph. */
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describeAlerts } from '../alerts/index.ts'
import { createGraph, type Graph } from '../catalog/index.ts'
import { describeTables, openDuck, openSqlReader, planTables, type Duck, type TablePlan } from '../lake/index.ts'
import { describeStreams } from '../streams/index.ts'
import { describeFlows } from './flow-catalog.ts'
import { loadProject, type Project } from './loader.ts'

export async function composeCatalog(project: Project, plan: TablePlan, duck: Duck): Promise<Graph> {
  const tables = await describeTables(plan, duck)
  const connection = await duck.connect()
  try {
    const tasks = await describeFlows(project.flows, await openSqlReader(connection, tables))
    return createGraph([describeStreams(project.streams), tables, tasks, describeAlerts(project.alerts)])
  } finally {
    connection.closeSync()
  }
}

/** From the project's files alone: no database is started and nothing is written. */
export async function readCatalog(folder: string): Promise<Graph> {
  const project = await loadProject(folder)
  // Empty inputs spill nothing, so the folder is never made.
  const duck = await openDuck({ tempDirectory: join(tmpdir(), 'lagoa'), threads: 1 })
  try {
    return await composeCatalog(project, await planOf(project, duck), duck)
  } finally {
    await duck.close()
  }
}

async function planOf(project: Project, duck: Duck): Promise<TablePlan> {
  const connection = await duck.connect()
  try {
    return await planTables(project.tables, connection)
  } finally {
    connection.closeSync()
  }
}
