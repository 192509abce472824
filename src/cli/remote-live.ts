/** A server as the live engine of a drill. */
import type { LiveEngine, LiveEngineFacts, OffsetRange } from '../replay/live-side.ts'
import { logPath } from './remote-logs.ts'
import type { Remote } from './remote.ts'

/**
 * Its logs as they are at this point: records never change, so later hashes are of the same. Of a log that is deleted
 * meanwhile there are none, also when another was made under its name.
 */
export async function remoteLiveEngine(remote: Remote): Promise<LiveEngine> {
  const { engineId, logs } = await remote.json<LiveEngineFacts>('/v1/live')
  const sides = logs.map((facts) => {
    const ask = async <Hash>(asked: object): Promise<Hash> => {
      const body = { id: facts.id, schemaId: facts.schema.id, ...asked }
      const path = `${logPath(facts.name)}/hash`
      return (await remote.json<{ readonly hash: Hash }>(path, { method: 'POST', body })).hash
    }
    return {
      ...facts,
      hash: (ranges: readonly OffsetRange[]) => ask<string>({ ranges }),
      latestHash: (ranges: readonly OffsetRange[]) => ask<string | null>({ ranges, latest: true }),
    }
  })
  return { engineId, logs: sides }
}
