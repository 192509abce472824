/** Packs as a whole: their index, and the zeros between segments, are bytes that no reader of a segment looks at. */
import { isStratalogError, throwIfAborted } from '../../base/errors.ts'
import { sha256Hex } from '../../format/checksum.ts'
import { isPackPath, packPath } from '../../format/paths.ts'
import type { CopyReading, NamedSegment } from './check-segments.ts'
import type { Findings } from './verify-report.ts'

/** Checks the packs that hold `segments`. Damage of a segment in one was told with the segment. */
export async function checkPacks(
  segments: Iterable<NamedSegment>,
  reading: CopyReading,
  findings: Findings,
): Promise<void> {
  const packs = new Set<string>()
  for (const { segment } of segments) {
    const object = segment[reading.tier]?.object
    if (object !== undefined && isPackPath(object)) packs.add(object)
  }
  for (const pack of packs) {
    throwIfAborted(reading.signal)
    const where = reading.whereIs(pack)
    if (findings.problems.some((problem) => problem.where === where)) continue
    try {
      const bytes = await reading.readAll(pack)
      findings.looked(bytes.length)
      if (packPath(sha256Hex(bytes)) !== pack)
        findings.file(where, 'checksum', 'Its SHA-256 is not that of its name.', true)
    } catch (error) {
      if (isStratalogError(error) && error.kind === 'not_found') continue
      if (!isStratalogError(error) || error.code !== 'file_system_failed') throw error
      findings.file(where, 'unreadable', error.message, true)
    }
  }
}
