/** A process that runs one command, tells its steps and when it was acknowledged, and kills itself at the step that it is told. */
import { writeSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import { pathToFileURL } from 'node:url'
import { openDuck } from '../../../src/lake/duck.ts'
import { openFolderObjects } from '../../../src/storage/index.ts'
import { watchedObjects, type WriteStep } from '../watched-objects.ts'
import { stepName, type Command, type Death, type Order } from './command.ts'

const { COMMANDS }: { COMMANDS: readonly Command[] } = await import(pathToFileURL(process.argv[2] ?? '').href)
const { command, folder, work, spill, death }: Order = JSON.parse(await text(process.stdin))
const found = COMMANDS.find(({ name }) => name === command)
if (!found) throw new Error(`there is no command ${command}`)

const counts = new Map<string, number>()
/** The step's name, with its number among those of the same name. */
const numbered = ({ kind, path }: WriteStep, moment: Death['moment']): string => {
  const name = stepName(kind, path)
  const count = (counts.get(`${moment} ${name}`) ?? 0) + 1
  counts.set(`${moment} ${name}`, count)
  return `${name} ${count}`
}

async function dieAt(step: string, moment: Death['moment']): Promise<void> {
  if (death?.step !== step || death.moment !== moment) return
  process.kill(process.pid, 'SIGKILL')
  await new Promise(() => undefined)
}

const folderObjects = await openFolderObjects(folder)
const objects = watchedObjects(
  folderObjects,
  (step) => {
    const name = numbered(step, 'before')
    if (death === null) writeSync(1, `${name}\n`)
    return dieAt(name, 'before')
  },
  (step) => dieAt(numbered(step, 'after'), 'after'),
)
const duck = await openDuck({ tempDirectory: spill, threads: 1 })
await found.run({ objects, duck, work })
writeSync(1, 'acknowledged\n')
await duck.close()
await folderObjects.close()
