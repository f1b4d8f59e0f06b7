import { flow, task } from 'lagoa'

/** As many tasks as the body of a flow names, each of which does nothing. */
export const sequential = flow('sequential', {}, () => {
  let before = task('step_0', { run: () => 0 })
  for (let i = 1; i < 40; i++) before = task(`step_${i}`, { with: { before }, run: ({ before: n }) => n + 1 })
})

export const parallel = flow('parallel', {}, () => {
  for (let i = 0; i < 1_000; i++) task(`task_${i}`, { run: () => undefined })
})

/** Answers when it began, on the clock of the process that asked for it. */
export const one = flow('one', {}, () => {
  task('only', { run: () => performance.now() })
})

export const hourly = flow('hourly', { partition: 'hour' }, () => {
  task('only', { run: () => undefined })
})
