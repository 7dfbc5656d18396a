import { modelAt } from '../../ec2/model/model.ts'

/** AWS's model of IAM: the operations that are served, and the names of all others. */
export const iamModel = modelAt(new URL('./model.generated.json', import.meta.url))
