/** How much memory Lagoa uses: its own process and the embedded database's, shared pages counted once. */
import { readFile, readdir } from 'node:fs/promises'

export async function memoryOf(pids: readonly number[]): Promise<number> {
  const sizes = await Promise.all((await withChildren(pids)).map(proportionalSize))
  const sum = sizes.reduce((total, size) => total + size, 0)
  return sum > 0 ? sum : process.memoryUsage.rss()
}

/** The processes and those started by them: Postgres serves each connection with a child. */
async function withChildren(pids: readonly number[]): Promise<number[]> {
  const all = new Set(pids)
  for (const pid of pids) {
    for (const thread of await readdir(`/proc/${pid}/task`).catch((): string[] => [])) {
      const children = await readFile(`/proc/${pid}/task/${thread}/children`, 'utf8').catch(() => '')
      for (const child of children.split(' ')) if (child !== '') all.add(Number(child))
    }
  }
  return [...all]
}

async function proportionalSize(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8').catch(() => '')
  return Number(/^Pss:\s+(\d+) kB/m.exec(text)?.[1] ?? 0) * 1024
}
