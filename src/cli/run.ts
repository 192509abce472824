/** Runs one command line from its arguments to its exit status: signals, errors, and nothing else. */
import { CommanderError } from 'commander'
import { systemClock } from '../base/clock.ts'
import { StratalogError, toStratalogError } from '../base/errors.ts'
import { EXIT_DONE, EXIT_STATUS } from './exit-status.ts'
import { buildProgram } from './program.ts'
import type { Session } from './session.ts'
import { ProcessTerminal, type Terminal } from './terminal.ts'

/** Runs the command that `args` name and returns the status to exit with. */
export async function runCommandLine(args: readonly string[]): Promise<number> {
  const controller = new AbortController()
  const terminal = new ProcessTerminal(() => controller.abort())
  const json = args.includes('--json')
  const session: Session = { terminal, clock: systemClock, signal: controller.signal, json }
  const stopListening = abortOnSignals(controller)
  let status = EXIT_DONE
  try {
    const setStatus = (failed: number): void => {
      status = failed
    }
    const program = buildProgram(session, setStatus, args[0])
    await program.parseAsync(args, { from: 'user' })
    return status
  } catch (error) {
    if (terminal.outputClosed) return EXIT_DONE
    return reportFailure(error, terminal, json)
  } finally {
    stopListening()
  }
}

/** The first signal asks the command to stop; the second ends the process at once. */
function abortOnSignals(controller: AbortController): () => void {
  const onSignal = (): void => {
    if (controller.signal.aborted) process.exit(EXIT_STATUS.aborted)
    controller.abort(new StratalogError('aborted', 'Interrupted.'))
  }
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  return () => {
    process.off('SIGINT', onSignal)
    process.off('SIGTERM', onSignal)
  }
}

function reportFailure(thrown: unknown, terminal: Terminal, json: boolean): number {
  // Help and version are not failures, although the parser leaves by an exception.
  if (thrown instanceof CommanderError && thrown.exitCode === 0) return EXIT_DONE
  const error = thrown instanceof CommanderError ? usageError(thrown) : toStratalogError(thrown)
  if (json) {
    terminal.note(
      JSON.stringify({
        error: jsonSafe({ ...error.toJSON(), message: inCommands(error.message) }),
      }),
    )
  } else {
    terminal.note(`${terminal.style(['red', 'bold'], 'stratalog:')} ${inCommands(error.message)}`)
    if (thrown instanceof CommanderError) terminal.note(`Try 'stratalog --help'.`)
    if (error.kind === 'internal' && error.cause instanceof Error)
      terminal.note(error.cause.stack ?? '')
  }
  return EXIT_STATUS[error.kind]
}

/** What the engine says of its functions, said of commands. */
function inCommands(message: string): string {
  return message.replace('Create it with createLog.', `Create it with 'stratalog logs create'.`)
}

function usageError(error: CommanderError): StratalogError {
  const message = error.message.replace(/^error: /, '').trim()
  if (error.code === 'commander.unknownOption' && message.includes("'--url'"))
    return new StratalogError(
      'argument_invalid',
      'This command works on files, and not on a server: leave --url out, and name a directory or an archive.',
    )
  return new StratalogError(
    'argument_invalid',
    message === '(outputHelp)' ? 'No command given.' : message,
    {
      details: { usage: error.code },
    },
  )
}

/** Details may hold bigints, which JSON does not. */
function jsonSafe(value: unknown): unknown {
  return JSON.parse(
    JSON.stringify(value, (_key, part: unknown) =>
      typeof part === 'bigint' ? String(part) : part,
    ),
  ) as unknown
}
