import { BadBundle } from '../../bundles/bad-bundle.ts'
import { isKilnError } from '../../lib/errors.ts'
import { OperationFailure } from '../../operations/operation.ts'

/** What is wrong with a bundle is told to whoever asked for the work, and is not tried again. */
export async function explained<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof BadBundle) && !isKilnError(error)) throw error
    throw new OperationFailure(error.message, { cause: error })
  }
}
