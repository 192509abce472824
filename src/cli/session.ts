/** What every command is given beside its own arguments. */
import type { Clock } from '../base/clock.ts'
import type { Terminal } from './terminal.ts'

export interface Session {
  readonly terminal: Terminal
  readonly clock: Clock
  /** Fires on Ctrl-C, on SIGTERM and when nobody reads standard output any more. */
  readonly signal: AbortSignal
  /** `--json`: one document or JSON Lines on standard output, errors as JSON on standard error. */
  readonly json: boolean
}

/** Writes one JSON document: indented for people, on one line for programs. */
export async function writeDocument(session: Session, document: unknown): Promise<void> {
  const text = session.json ? JSON.stringify(document) : JSON.stringify(document, null, 2)
  await session.terminal.write(`${text}\n`)
}

/** A note for people; left out with `--json`, where only errors go to standard error. */
export function note(session: Session, line: string): void {
  if (!session.json) session.terminal.note(line)
}
