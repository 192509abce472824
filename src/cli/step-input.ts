/** Steps of a replay: one a line of standard input. */
import process from 'node:process'
import { createInterface } from 'node:readline'
import { StratalogError } from '../base/errors.ts'
import type { ReplayStep } from '../replay/replay-options.ts'
import type { Session } from './session.ts'

export interface StepInput {
  /** Resolves with the next line. @throws StratalogError `aborted` at the end of the input. */
  step(next: ReplayStep): Promise<void>
  close(): void
}

export function openStepInput(session: Session): StepInput {
  const lines = createInterface({ input: process.stdin })
  const iterator = lines[Symbol.asyncIterator]()
  return {
    step: async ({ log, partition, offset, records, time }) => {
      if (session.terminal.notesAreSeen && !session.json) {
        const when = new Date(time).toISOString()
        session.terminal.note(
          `next: ${log}, partition ${partition}, offset ${offset}, records ${records}, ${when}; press Enter`,
        )
      }
      const line = await iterator.next()
      if (line.done === true)
        throw new StratalogError('aborted', 'The input ended, and with it the steps.')
    },
    close: () => {
      lines.close()
      process.stdin.destroy()
    },
  }
}
