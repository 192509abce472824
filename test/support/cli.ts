/** Runs the real command line, as a child process. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { programAt } from './program.ts'
import { repositoryRoot } from './repository.ts'

export interface CliResult {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
  /** Standard output as it was written, for formats that are not text. */
  readonly bytes: Buffer
}

export interface CliOptions {
  /** Given to standard input, which then ends. */
  readonly input?: string | Uint8Array
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
}

export const cliEntry: string = programAt('src/cli/main.ts')

/** A command that runs on, for tests that talk to it. */
export function spawnCli(
  args: readonly string[],
  options: CliOptions = {},
): ChildProcessWithoutNullStreams {
  const env = { ...process.env, ...options.env }
  return spawn(process.execPath, [cliEntry, ...args], { env, cwd: options.cwd ?? repositoryRoot })
}

/** Runs a command to its end. */
export function runCli(args: readonly string[], options: CliOptions = {}): Promise<CliResult> {
  return new Promise((resolve, reject) => {
    const child = spawnCli(args, options)
    const output: Buffer[] = []
    const notes: Buffer[] = []
    child.stdout.on('data', (chunk: Buffer) => output.push(chunk))
    child.stderr.on('data', (chunk: Buffer) => notes.push(chunk))
    // A command that fails early does not read its input.
    child.stdin.on('error', () => {})
    child.stdin.end(options.input ?? '')
    child.on('error', reject)
    child.on('close', (status) => {
      const bytes = Buffer.concat(output)
      resolve({ status, stdout: bytes.toString(), stderr: Buffer.concat(notes).toString(), bytes })
    })
  })
}

/** The one JSON document that a command with `--json` printed. @throws when it failed or printed anything else. */
export async function runJson<T>(args: readonly string[], options: CliOptions = {}): Promise<T> {
  const { status, stdout, stderr } = await runCli([...args, '--json'], options)
  if (status !== 0)
    throw new Error(`stratalog ${args.join(' ')} ended with ${status}: ${stderr}${stdout}`)
  return JSON.parse(stdout) as T
}

/** The JSON Lines that a command printed. */
export function jsonLines(text: string): readonly Record<string, unknown>[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Record<string, unknown>)
}
