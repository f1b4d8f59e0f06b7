/**
 * The port to Python models: a script that turns input files into one output file.
 *
 * What the lake promises: the inputs are complete files of the runner's format in a folder that nobody else writes to, readable until
 * `run` settles; `output` does not exist yet and its folder can be written. The lake takes what comes back as hostile: it reads the
 * output as a file of that format, with the columns that the table declares, and nothing else of it.
 *
 * What a runner promises: it runs the script's text once, in a process that can reach no other file of this machine and no network when
 * the runner is a sandbox. How the script meets its inputs and its output is the runner's word: behind Lagoa's walls there are no files, and a
 * script defines `process(df, ...)`, which gets the input `input` as its DataFrame and the others by their names. It resolves when the
 * script ended well and the output is whole. It rejects with kind `invalid` and the script's last lines when the script fails, `limit`
 * when it needs more memory, time or output than the limits say, `unavailable` when it could not be run at all, and with the signal's
 * reason soon after the signal aborts; no process of the job is left then. Lines that the script prints reach `onLine` in order, cut to
 * a bounded length and number. Jobs may run at the same time; a runner bounds how many do.
 */
export interface PythonRunner {
  readonly capabilities: {
    readonly name: string
    /** How tables pass: Parquet, or for a Python without the packages to read it one JSON object a line. */
    readonly format: 'parquet' | 'json'
  }
  run(job: PythonJob): Promise<void>
}

export interface PythonJob {
  /** The table that is made, for messages. */
  readonly table: string
  /** The script's path in the project, for messages, and its text. */
  readonly file: string
  readonly source: string
  readonly inputs: Readonly<Record<string, string>>
  readonly output: string
  readonly limits: PythonLimits
  readonly signal: AbortSignal
  readonly onLine: (line: { readonly from: 'stdout' | 'stderr'; readonly text: string }) => void
}

export interface PythonLimits {
  readonly memoryBytes: number
  readonly seconds: number
  readonly outputBytes: number
}

/** What a refresh may take when nothing else is said. */
export const PYTHON_LIMITS: PythonLimits = { memoryBytes: 2 * 1024 ** 3, seconds: 600, outputBytes: 4 * 1024 ** 3 }
