/** Records of a replay on standard output. */
import { StratalogError } from '../../base/errors.ts'
import type { Batch } from '../../engine/batch.ts'
import type { Field } from '../../format/schema.ts'
import { toNdjson } from '../../query/ndjson.ts'
import type { Session } from '../session.ts'
import type { RecordOutput } from './output-format.ts'
import { openRecordOutput } from './record-output.ts'

export type ReplayFormat = 'ndjson' | 'arrow'

export interface ReplayOutput {
  /** Told of each log before the first batch of any, so that what is refused has written nothing. */
  begin(log: string): void
  readonly take: (log: string, batch: Batch) => Promise<void>
  end(): Promise<void>
}

export function replayOutput(format: ReplayFormat, session: Session): ReplayOutput {
  return format === 'arrow' ? arrowReplay(session) : ndjsonReplay(session)
}

/** `_log` tells records of several logs apart. */
function ndjsonReplay(session: Session): ReplayOutput {
  return {
    begin: () => {},
    take: async (log, { fields, columns, length }) => {
      const head = `{"_log":${JSON.stringify(log)},`
      const lines = toNdjson({ names: fields.map(({ name }) => name), columns, length })
      await session.terminal.write(lines.replace(/^\{/gm, () => head))
    },
    end: async () => {},
  }
}

/** An Arrow stream has one schema, so it takes one log. */
function arrowReplay(session: Session): ReplayOutput {
  let only: string | null = null
  let output: RecordOutput | null = null
  let fields: readonly Field[] = []
  const opened = async (): Promise<RecordOutput> => {
    output ??= await openRecordOutput('arrow', session)
    return output
  }
  return {
    begin: (log) => {
      if (only !== null) {
        throw new StratalogError(
          'argument_invalid',
          `--format arrow writes one log, and '${only}' and '${log}' would be replayed: name one with --logs.`,
        )
      }
      only = log
    },
    take: async (_log, batch) => {
      ;({ fields } = batch)
      await (await opened()).write(batch)
    },
    end: async () => await (await opened()).end(fields),
  }
}
