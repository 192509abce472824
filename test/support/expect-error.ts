import { expect } from 'vitest'
import { StratalogError, type ErrorCode } from '../../src/base/errors.ts'

/** The error that a promise rejects with, which has to be ours and of this code. */
export async function expectError(
  work: Promise<unknown>,
  code: ErrorCode,
): Promise<StratalogError> {
  const outcome = await work.then(
    (value) => ({ value }),
    (error: unknown) => ({ error }),
  )
  const error = 'error' in outcome ? outcome.error : null
  if (!(error instanceof StratalogError)) {
    throw new Error(`expected the error ${code}, got ${describe(outcome)}`, { cause: error })
  }
  expect(error.code, error.message).toBe(code)
  return error
}

function describe(outcome: object): string {
  return 'error' in outcome ? String(outcome.error) : 'none'
}
