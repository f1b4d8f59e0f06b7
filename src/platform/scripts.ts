/** Scripts of a project, read when it is loaded: their text is part of what defines a table. */
import { readFile } from 'node:fs/promises'
import { isAbsolute, relative, resolve } from 'node:path'
import { errno, invalid } from '../base/index.ts'

const LARGEST = 1024 * 1024

/** The text of a file of the project, by its path in the project folder. */
export async function readScript(folder: string, file: string): Promise<string> {
  const path = resolve(folder, file)
  const inside = relative(folder, path)
  if (inside === '' || inside.startsWith('..') || isAbsolute(inside))
    throw invalid('project.script_outside', `The script ${file} is not in the project folder`, {
      hint: 'Name it by its path in the project, such as tables/score.py.',
    })
  try {
    const text = await readFile(path, 'utf8')
    if (text.length > LARGEST)
      throw invalid('project.script_large', `The script ${file} has ${text.length} characters, at most ${LARGEST} are taken`, { hint: 'Split it.' })
    return text
  } catch (error) {
    if (errno(error) === 'ENOENT')
      throw invalid('project.no_script', `There is no script ${file} in the project`, { hint: 'Paths are relative to the project folder.', cause: error })
    throw error
  }
}
