"""What the program inside a TorchScript file may use: arithmetic on arrays, and nothing that reaches a file,
a process or the network.
"""

from __future__ import annotations

# What may follow `torch.` (aten operators). A trailing underscore (in place) is removed before the lookup.
_ARITHMETIC = """
    conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d _convolution convolution
    _convolution_mode linear bilinear matmul mm bmm addmm baddbmm einsum tensordot dot mv outer
    scaled_dot_product_attention _native_multi_head_attention batch_norm instance_norm group_norm layer_norm
    native_batch_norm native_group_norm native_layer_norm local_response_norm rms_norm relu relu6 leaky_relu
    prelu rrelu elu selu celu gelu silu mish hardswish hardsigmoid hardtanh hardshrink softshrink tanhshrink
    softplus softsign logsigmoid log_sigmoid sigmoid tanh softmax log_softmax _softmax _log_softmax softmin
    glu threshold max_pool1d max_pool2d max_pool3d max_pool1d_with_indices max_pool2d_with_indices
    max_pool3d_with_indices avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d
    adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d max_unpool2d max_unpool3d
    lp_pool2d lp_pool3d upsample_nearest1d upsample_nearest2d upsample_nearest3d upsample_linear1d
    upsample_bilinear2d upsample_bicubic2d upsample_trilinear3d _upsample_bilinear2d_aa _upsample_bicubic2d_aa
    _upsample_lanczos2d_aa _upsample_nearest_exact1d _upsample_nearest_exact2d _upsample_nearest_exact3d
    __interpolate __upsample grid_sampler grid_sampler_2d grid_sampler_3d affine_grid_generator pixel_shuffle
    pixel_unshuffle channel_shuffle pad constant_pad_nd reflection_pad1d reflection_pad2d reflection_pad3d
    replication_pad1d replication_pad2d replication_pad3d _pad_circular dropout feature_dropout alpha_dropout
    feature_alpha_dropout native_dropout embedding add sub rsub mul div true_divide floor_divide divide
    multiply subtract remainder fmod floordiv neg negative abs absolute sign square sqrt rsqrt pow exp exp2
    expm1 log log2 log10 log1p sin cos tan asin acos atan atan2 sinh cosh erf erfc erfinv reciprocal ceil
    floor round trunc frac clamp clip clamp_min clamp_max lerp addcmul addcdiv hypot logaddexp logsumexp
    nan_to_num eq ne lt le gt ge logical_and logical_or logical_not logical_xor bitwise_and bitwise_or
    bitwise_not bitwise_xor __and__ __or__ __xor__ __not__ __is__ __isnot__ __contains__ __getitem__
    __derive_index __range_length isnan isinf isfinite isclose allclose equal where maximum minimum max min
    amax amin argmax argmin aminmax sum mean std var var_mean std_mean prod cumsum cumprod any all norm
    linalg_norm linalg_vector_norm frobenius_norm median mode quantile topk sort argsort kthvalue
    count_nonzero nonzero unique bincount histc view view_as reshape reshape_as flatten unflatten permute
    transpose t numpy_T movedim swapaxes swapdims squeeze unsqueeze expand expand_as broadcast_to repeat
    repeat_interleave tile cat concat concatenate stack hstack vstack dstack chunk split split_with_sizes
    tensor_split unbind unfold fold im2col col2im roll flip fliplr flipud rot90 select slice narrow index
    index_select gather scatter scatter_add index_put index_add index_fill index_copy masked_fill
    masked_select masked_scatter take_along_dim tril triu diag diagonal meshgrid size numel dim len stride
    is_floating_point is_complex item contiguous clone detach alias to type_as to_dense float double half
    bfloat16 int long bool cpu copy requires_grad zero fill lift_fresh lift broadcast_tensors zeros zeros_like
    ones ones_like full full_like empty empty_like new_zeros new_ones new_full new_empty arange linspace eye
    tensor as_tensor scalar_tensor rand randn rand_like randn_like normal bernoulli one_hot append extend
    insert _set_item pop clear keys values items get update list dict format join warn percentFormat Int Float
    Bool Complex ScalarImplicit IntImplicit FloatImplicit is_nonzero ord chr str lower upper startswith
    endswith strip replace sorted reverse fft_fftn fft_ifftn fft_rfftn fft_irfftn fft_fft2 fft_ifft2 fft_rfft2
    fft_irfft2 fft_fftshift fft_ifftshift view_as_real view_as_complex real imag complex polar device dtype
    layout
"""
OPERATORS = frozenset(_ARITHMETIC.split())

_PLUMBING = """
    NumToTensor TupleConstruct TupleUnpack TupleIndex ListConstruct ListUnpack RaiseException data device
    dtype layout is_cuda is_cpu is_mkldnn is_sparse is_quantized is_nested ndim shape grad requires_grad min
    max abs name itemsize index unchecked_cast unchecked_unwrap_optional ImplicitTensorToNum tolist Print
    IfThenElse type
"""
# What may follow `ops.`: a namespace and an operator in it.
OTHER_OPERATORS = {"aten": OPERATORS, "prim": frozenset(_PLUMBING.split())}

# Names that reach the disk whatever they are called on, also as methods of an array.
FILE_OPERATORS = frozenset({"save", "load", "from_file", "_save", "_load", "_from_file"})
# Names that start work in other processes.
FORBIDDEN_NAMES = frozenset(
    {"fork", "awaitable", "eval", "exec", "open", "compile", "globals", "locals", "vars", "__import__"}
)
