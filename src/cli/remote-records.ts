/** Records and rows of a server, in every format of the command line. */
import { decodeArrowStream } from '../format/arrow-stream.ts'
import type { Field } from '../format/schema.ts'
import type { FieldChunk } from '../query/record-format.ts'
import type { OutputFormat } from './output/output-format.ts'
import { openRecordOutput } from './output/record-output.ts'
import type { Remote, RemoteRequest } from './remote.ts'
import type { Session } from './session.ts'

/** What the server writes as it comes; the others are made here. */
const SERVED: readonly OutputFormat[] = ['ndjson', 'csv', 'arrow']

export async function writeRemoteRecords(
  session: Session,
  remote: Remote,
  path: string,
  request: RemoteRequest,
  format: OutputFormat,
): Promise<void> {
  if (SERVED.includes(format)) {
    const parameters = { ...request.parameters, format }
    const response = await remote.ask(path, { ...request, parameters })
    for await (const bytes of remote.bytes(response)) await session.terminal.write(bytes)
    return
  }
  const output = await openRecordOutput(format, session)
  let fields: readonly Field[] = []
  for await (const chunk of remoteRecords(remote, path, request)) {
    ;({ fields } = chunk)
    await output.write(chunk)
  }
  await output.end(fields)
}

/** Chunks as they come; one without rows where there are none. */
export async function* remoteRecords(
  remote: Remote,
  path: string,
  request: RemoteRequest,
): AsyncGenerator<FieldChunk, void, undefined> {
  const parameters = { ...request.parameters, format: 'arrow' }
  const response = await remote.ask(path, { ...request, parameters })
  yield* decodeArrowStream(remote.bytes(response))
}
